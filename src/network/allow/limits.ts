/** Connections of one session at once; further ones are reset. */
export const MAX_CONNECTIONS = 1_024;
/** Lookups at the name servers at once; further questions are answered with SERVFAIL. */
export const MAX_LOOKUPS = 64;
/** Questions a second, and as many at once as in two seconds; further ones are dropped. */
export const QUESTION_RATE = 500;
/** Denials a second that are told one by one; of further ones the number is. */
export const DENIAL_RATE = 100;
/** Names whose addresses are kept, and pairs of an address and a name that are. */
export const MAX_NAMES = 2_048;
export const MAX_PINS = 8_192;
/** The longest that an answer is kept, in ms, whatever its time to live. */
export const MAX_TTL_MS = 300_000;
/** For how long an address can be connected to when the answer that named it has run out, in ms. */
export const PIN_GRACE_MS = 30_000;
/** Bytes and records of a ClientHello, which is looked at again for each packet. With everything in use it has 2 KiB, in one. */
export const MAX_HELLO = 16_384;
export const MAX_RECORDS = 64;
/** Within which a connection has said what it wants, in ms. */
export const OPENING_MS = 10_000;
/** For a connection outwards, in ms. */
export const DIAL_MS = 10_000;
/** After which a connection that carries nothing ends, in ms. */
export const IDLE_MS = 3_600_000;
/** After which a connection between two requests of HTTP ends, in ms. */
export const KEEP_ALIVE_MS = 60_000;
/** Requests of one connection that wait for the one before them. */
export const MAX_PIPELINED = 32;

/** So many a second, and those of two seconds at once. */
export class Rate {
  readonly #perSecond: number;
  #left: number;
  #at = performance.now();

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
    this.#left = 2 * perSecond;
  }

  /** Whether there is one left, which it takes. */
  take(): boolean {
    const now = performance.now();
    this.#left = Math.min(2 * this.#perSecond, this.#left + ((now - this.#at) * this.#perSecond) / 1_000);
    this.#at = now;
    if (this.#left < 1) return false;
    this.#left--;
    return true;
  }
}
