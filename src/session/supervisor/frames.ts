import { DriverError } from '../../core/error.js';
import { answer, HEADER_BYTES, leastBytes, MAX_DATA, MAX_OUTPUT } from './protocol.js';

export interface FrameHandlers {
  /** A piece of output: a frame's data in as many pieces as it came in. Valid during the call alone. */
  data(stream: number, source: 0 | 1, piece: Uint8Array): void;
  /** Any other frame, whole. Valid during the call alone. */
  frame(type: number, stream: number, payload: Buffer): void;
}

/**
 * Splits what the supervisor sends into frames. The session's processes cannot write here; what is no frame all the same
 * throws `data-loss`, as whatever follows it has no meaning.
 */
export class FrameReader {
  readonly #handlers: FrameHandlers;
  readonly #header = Buffer.alloc(HEADER_BYTES);
  #headerBytes = 0;
  /** Of the present frame's payload, still to come. */
  #left = 0;
  #payload: Buffer | undefined;

  constructor(handlers: FrameHandlers) {
    this.#handlers = handlers;
  }

  push(chunk: Uint8Array): void {
    for (let rest = chunk; rest.length > 0; ) {
      rest = this.#headerBytes < HEADER_BYTES ? this.#readHeader(rest) : this.#readPayload(rest);
    }
  }

  get #type(): number {
    return this.#header.readUInt32LE(4);
  }

  get #stream(): number {
    return this.#header.readUInt32LE(8);
  }

  get #isOutput(): boolean {
    return this.#type === answer.output || this.#type === answer.errorOutput;
  }

  #readHeader(chunk: Uint8Array): Uint8Array {
    const part = chunk.subarray(0, HEADER_BYTES - this.#headerBytes);
    this.#header.set(part, this.#headerBytes);
    this.#headerBytes += part.length;
    if (this.#headerBytes === HEADER_BYTES) {
      this.#left = this.#header.readUInt32LE(0);
      const isKnown = this.#type >= answer.welcome && this.#type <= answer.killed;
      if (
        !isKnown ||
        this.#left > (this.#isOutput ? MAX_OUTPUT : MAX_DATA) ||
        this.#left < (leastBytes[this.#type] ?? 0)
      ) {
        throw new DriverError('data-loss', `no frame: ${this.#header.toString('hex')}`, { operation: 'supervisor' });
      }
      this.#payload = this.#isOutput ? undefined : Buffer.allocUnsafe(this.#left);
      if (this.#left === 0) this.#finish();
    }
    return chunk.subarray(part.length);
  }

  #readPayload(chunk: Uint8Array): Uint8Array {
    const part = chunk.subarray(0, this.#left);
    const payload = this.#payload;
    payload?.set(part, payload.length - this.#left);
    this.#left -= part.length;
    if (payload === undefined) this.#handlers.data(this.#stream, this.#type === answer.output ? 0 : 1, part);
    if (this.#left === 0) this.#finish();
    return chunk.subarray(part.length);
  }

  #finish(): void {
    const payload = this.#payload;
    this.#headerBytes = 0;
    this.#payload = undefined;
    if (payload !== undefined) this.#handlers.frame(this.#type, this.#stream, payload);
  }
}
