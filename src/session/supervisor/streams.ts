import { Readable, Writable } from 'node:stream';
import { DriverError } from '../../core/error.js';
import type { Divertible } from '../../stdio/reader.js';
import { END_OF_LINE_AND_INPUT } from '../../stdio/streams.js';
import type { Link } from './link.js';
import { encodeNumbers, MAX_DATA, request, WINDOW } from './protocol.js';

/** Told to the supervisor in steps of this many bytes, a quarter of what it keeps. */
const STEP_BYTES = WINDOW / 4;
/** Of more the allocator asks the kernel for each piece. */
const COPY_BYTES = 64 * 1024;

/** Output of one command. What its reader has not taken stays with the supervisor, and holds up the command alone. */
export class RemoteOutput extends Readable implements Divertible {
  readonly #link: Link;
  readonly #stream: number;
  readonly #source: 0 | 1;
  #sink: ((bytes: Uint8Array) => void) | undefined;
  /** Bytes that came here and were not yet told to be taken. */
  #untold = 0;
  #hasEnded = false;

  constructor(link: Link, stream: number, source: 0 | 1) {
    super({ highWaterMark: STEP_BYTES });
    this.#link = link;
    this.#stream = stream;
    this.#source = source;
  }

  divert(sink: ((bytes: Uint8Array) => void) | undefined): void {
    this.#sink = sink;
  }

  /** `piece` is copied: it lies in a buffer that is used again. Throws `data-loss` for more than the window, or than all. */
  receive(piece: Uint8Array): void {
    if (this.#hasEnded || this.#untold + piece.length > WINDOW) {
      throw new DriverError('data-loss', 'more output than there can be', { operation: 'supervisor' });
    }
    this.#untold += piece.length;
    if (this.#sink !== undefined && this.readableLength === 0) this.#sink(piece);
    else {
      for (let at = 0; at < piece.length; at += COPY_BYTES) {
        this.push(Buffer.from(piece.subarray(at, at + COPY_BYTES)));
      }
    }
    this.#tell();
  }

  end(): void {
    this.#hasEnded = true;
    if (!this.destroyed) this.push(null);
  }

  /** What came is still to be had, the rest is the next reader's. */
  letGo(): void {
    const came = this.#untold;
    this.#untold = 0;
    if (came > 0) this.#sendTaken(came);
    if (!this.destroyed) this.push(null);
  }

  override _read(): void {
    // Node asks for more before it takes out what it is about to give.
    process.nextTick(() => this.#tell());
  }

  #tell(): void {
    const taken = this.#untold - this.readableLength;
    if (taken < STEP_BYTES) return;
    this.#untold -= taken;
    this.#sendTaken(taken);
  }

  #sendTaken(bytes: number): void {
    if (this.#link.isOpen) this.#link.send(request.taken, this.#stream, encodeNumbers(this.#source, bytes));
  }
}

/** Input of one command; it waits for the command when the supervisor holds as much as it may. */
export class RemoteInput extends Writable {
  readonly #link: Link;
  readonly #stream: number;
  readonly #terminal: boolean;
  #credit: number;
  #resume: (() => void) | undefined;
  #isTold = false;

  constructor(link: Link, stream: number, terminal: boolean) {
    super({ highWaterMark: MAX_DATA });
    this.#link = link;
    this.#stream = stream;
    this.#terminal = terminal;
    this.#credit = link.window;
    // A command that ends before its input does is no failure of the program that feeds it.
    this.on('error', () => undefined);
  }

  take(bytes: number): void {
    this.#credit += bytes;
    const resume = this.#resume;
    this.#resume = undefined;
    resume?.();
  }

  /** The command reads on from whoever connects next. */
  letGo(): void {
    this.#isTold = true;
    this.destroy();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    const send = (rest: Uint8Array): void => {
      if (!this.#link.isOpen || rest.length === 0) {
        done();
        return;
      }
      const size = Math.min(rest.length, this.#credit, MAX_DATA);
      if (size > 0) {
        this.#credit -= size;
        const next = () => send(rest.subarray(size));
        this.#link.send(request.input, this.#stream, rest.subarray(0, size), next);
      } else this.#resume = () => send(rest);
    };
    send(chunk);
  }

  override _final(done: () => void): void {
    if (this.#terminal) this._write(Buffer.from(END_OF_LINE_AND_INPUT), 'utf8', done);
    else done();
    this.#tellEnd();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#resume = undefined;
    this.#tellEnd();
    done(error);
  }

  /** A terminal would be hung up, and its command killed: it is told in its own way. */
  #tellEnd(): void {
    if (this.#isTold || this.#terminal) return;
    this.#isTold = true;
    if (this.#link.isOpen) this.#link.send(request.inputEnd, this.#stream);
  }
}
