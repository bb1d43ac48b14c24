import { Readable, Writable } from 'node:stream';
import { DriverError } from '../../core/error.js';
import { END_OF_LINE_AND_INPUT } from '../../stdio/streams.js';
import type { Outlet } from '../executor.js';
import type { Link } from './link.js';
import { encodeNumbers, MAX_DATA, request, WINDOW } from './protocol.js';

/** Told to the supervisor in steps of this many bytes, a quarter of what it keeps. */
const STEP_BYTES = WINDOW / 4;
/** Of more the allocator asks the kernel for each piece. */
const COPY_BYTES = 64 * 1024;

/**
 * Output of one command. What its reader has not taken stays with the supervisor, and holds up the command alone. A stream
 * is made of it when somebody asks for one: it costs more than a short command.
 */
export class RemoteOutput implements Outlet {
  readonly #link: Link;
  readonly #number: number;
  readonly #source: 0 | 1;
  #stream: Readable | undefined;
  #sink: ((bytes: Uint8Array) => void) | undefined;
  /** Bytes that came here and were not yet told to be taken. */
  #untold = 0;
  #hasEnded = false;
  #isLetGo = false;

  constructor(link: Link, number: number, source: 0 | 1) {
    this.#link = link;
    this.#number = number;
    this.#source = source;
  }

  get stream(): Readable {
    this.#stream ??= this.#open();
    return this.#stream;
  }

  get hasStream(): boolean {
    return this.#stream !== undefined;
  }

  get isOver(): boolean {
    if (this.#stream === undefined) return this.#hasEnded;
    return this.#stream.readableEnded || this.#stream.destroyed;
  }

  divert(sink: ((bytes: Uint8Array) => void) | undefined): void {
    this.#sink = sink;
  }

  /** `piece` is copied: it lies in a buffer that is used again. Throws `data-loss` for more than the window, or than all. */
  receive(piece: Uint8Array): void {
    if (this.#isLetGo) return;
    if (this.#hasEnded || this.#untold + piece.length > WINDOW) {
      throw new DriverError('data-loss', 'more output than there can be', { operation: 'supervisor' });
    }
    this.#untold += piece.length;
    if (this.#sink !== undefined && this.#waiting === 0) this.#sink(piece);
    else {
      for (let at = 0; at < piece.length; at += COPY_BYTES) {
        this.stream.push(Buffer.from(piece.subarray(at, at + COPY_BYTES)));
      }
    }
    this.#tell();
  }

  end(): void {
    this.#hasEnded = true;
    if (this.#stream?.destroyed === false) this.#stream.push(null);
  }

  /** For another reader: all of it, where nobody has begun to read here. */
  leave(): void {
    const stream = this.#stream;
    const isRead = stream?.readableFlowing || stream?.readableDidRead || (stream?.listenerCount('readable') ?? 0) > 0;
    if (stream !== undefined && !isRead) {
      this.#untold -= stream.readableLength;
      this.#stream = undefined;
      stream.destroy();
    }
    this.letGo();
  }

  /** What came is still to be had, the rest is not. */
  letGo(): void {
    const came = this.#untold;
    this.#untold = 0;
    if (came > 0) this.#sendTaken(came);
    this.#isLetGo = true;
    this.end();
  }

  destroy(): void {
    this.#hasEnded = true;
    this.#stream?.destroy();
  }

  #open(): Readable {
    // Node asks for more before it takes out what it is about to give.
    const read = () => process.nextTick(() => this.#tell());
    const stream = new Readable({ highWaterMark: STEP_BYTES, read });
    if (this.#hasEnded) stream.push(null);
    return stream;
  }

  get #waiting(): number {
    return this.#stream?.readableLength ?? 0;
  }

  #tell(): void {
    const taken = this.#untold - this.#waiting;
    if (taken < STEP_BYTES) return;
    this.#untold -= taken;
    this.#sendTaken(taken);
  }

  #sendTaken(bytes: number): void {
    if (this.#link.isOpen) this.#link.send(request.taken, this.#number, encodeNumbers(this.#source, bytes));
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

  /** `waiting` are bytes that another process had sent before, and the command has not read. */
  constructor(link: Link, stream: number, { terminal, waiting }: { terminal: boolean; waiting: number }) {
    super({ highWaterMark: MAX_DATA });
    this.#link = link;
    this.#stream = stream;
    this.#terminal = terminal;
    this.#credit = link.window - waiting;
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
      const size = Math.min(rest.length, this.#credit);
      if (size > 0) {
        this.#credit -= size;
        const next = () => send(rest.subarray(size));
        this.#link.sendData(request.input, this.#stream, rest.subarray(0, size), next);
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
