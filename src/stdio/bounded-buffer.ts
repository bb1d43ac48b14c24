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

  /** Bytes that did not fit. */
  get dropped(): number {
    return this.#dropped;
  }

  push(chunk: Uint8Array): void {
    const kept = chunk.subarray(0, this.#limit - this.#kept);
    this.#dropped += chunk.length - kept.length;
    if (this.#kept + kept.length > this.#buffer.length) this.#grow(this.#kept + kept.length);
    this.#buffer.set(kept, this.#kept);
    this.#kept += kept.length;
  }

  toString(): string {
    return this.#buffer.toString('utf8', 0, this.#kept);
  }

  #grow(needed: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.min(this.#limit, Math.max(needed, this.#buffer.length * 2, FIRST_BYTES)));
    grown.set(this.#buffer.subarray(0, this.#kept));
    this.#buffer = grown;
  }
}
