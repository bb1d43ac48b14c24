import { constants, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { Readable } from 'node:stream';

const CHUNK_BYTES = 256 * 1024;

/** One for all readers: each read is copied out of it before the next one can happen. */
let readBuffer: Buffer | undefined;

/** A stream whose bytes can be had without it. */
export interface Divertible {
  /**
   * Hands what comes from now on to `sink` instead of the stream, until there is none: without a chunk for each read and
   * its way through the stream that takes half the CPU time. The bytes are lent for the call alone. The stream must flow
   * with nothing in it, and ends as ever.
   */
  divert(sink: ((bytes: Uint8Array) => void) | undefined): void;
  /** What was read is still to be had, then the stream ends, whoever holds the other end. */
  letGo(): void;
}

export function isDivertible(stream: Readable): stream is Readable & Divertible {
  return 'divert' in stream;
}

/**
 * The reading end of a FIFO as a stream, with backpressure down to the process that writes.
 *
 * Opened O_RDONLY | O_NONBLOCK: the open returns before a writer exists, no thread of the pool waits in it, and the
 * stream ends when the last writer closes (an O_RDWR reader would never see that end).
 */
export class FifoReader extends Readable implements Divertible {
  readonly #socket: Socket;
  #sink: ((bytes: Uint8Array) => void) | undefined;

  constructor(path: string) {
    super({ highWaterMark: CHUNK_BYTES });
    const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    // A buffer of our own halves the CPU cost of the socket's default, a new slab of 64 KiB for every read.
    readBuffer ??= Buffer.allocUnsafeSlow(CHUNK_BYTES);
    const onread = {
      buffer: readBuffer,
      callback: (bytes: number, buffer: Uint8Array): boolean => {
        if (this.#sink !== undefined) {
          this.#sink(buffer.subarray(0, bytes));
          return true;
        }
        const chunk = Buffer.allocUnsafe(bytes);
        chunk.set(buffer.subarray(0, bytes));
        return this.push(chunk);
      },
    };
    // Options of the constructor that are documented for connections only, or not at all. Nothing is read before someone
    // asks: what nobody took would be lost to whoever opens the FIFO next.
    const options = { fd, readable: true, writable: false, onread, manualStart: true };
    this.#socket = new Socket(options as ConstructorParameters<typeof Socket>[0]);
    this.#socket.on('end', () => this.push(null));
    this.#socket.on('error', (error) => this.destroy(error));
  }

  /** All was read, and nobody writes any more: whoever opens the FIFO next shares it with no one. */
  get isOver(): boolean {
    return this.#socket.readableEnded;
  }

  divert(sink: ((bytes: Uint8Array) => void) | undefined): void {
    this.#sink = sink;
  }

  /** Reads no more: what was read is still to be had, then the stream ends. The rest is the next reader's. */
  letGo(): void {
    this.#socket.destroy();
    if (!this.destroyed) this.push(null);
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#socket.destroy();
    callback(error);
  }
}
