import { StringDecoder } from 'node:string_decoder';

const FIRST_BYTES = 4096;

/** Keeps the first bytes of a stream up to a limit and counts the rest, so that a flood costs no memory. */
export class BoundedBuffer {
  readonly #limit: number;
  // One growing buffer: a list of chunks would cost a hundred times its bytes when they come one by one.
  #buffer = Buffer.alloc(0);
  #kept = 0;
  #dropped = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  push(chunk: Uint8Array): void {
    const kept = chunk.subarray(0, this.#limit - this.#kept);
    this.#dropped += chunk.length - kept.length;
    if (this.#kept + kept.length > this.#buffer.length) this.#grow(this.#kept + kept.length);
    this.#buffer.set(kept, this.#kept);
    this.#kept += kept.length;
  }

  /** The kept text, and how many bytes did not fit: with them a character that the limit cut in two. */
  read(): { text: string; dropped: number } {
    const kept = this.#buffer.subarray(0, this.#kept);
    if (this.#dropped === 0) return { text: kept.toString('utf8'), dropped: 0 };
    const decoder = new StringDecoder('utf8');
    const text = decoder.write(kept);
    return { text, dropped: this.#dropped + countHalf(kept, decoder.end()) };
  }

  #grow(needed: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.min(this.#limit, Math.max(needed, this.#buffer.length * 2, FIRST_BYTES)));
    grown.set(this.#buffer.subarray(0, this.#kept));
    this.#buffer = grown;
  }
}

/** Bytes of the character that `kept` ends in the middle of: back to its first byte. */
function countHalf(kept: Uint8Array, rest: string): number {
  if (rest === '') return 0;
  let count = 1;
  while (((kept.at(-count) as number) & 0xc0) === 0x80) count++;
  return count;
}
