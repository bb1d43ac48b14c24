import type { Readable } from 'node:stream';
import { BoundedBuffer } from '../stdio/bounded-buffer.js';
import type { OutputChunk } from '../stdio/merge.js';
import { type Divertible, isDivertible } from '../stdio/reader.js';
import { createTextListener } from '../stdio/text.js';
import type { ExecProcess, Outlet } from './executor.js';

/** One of a command's two outputs: what is kept of it for the result, and its stream as soon as one is needed. */
export class ExecChannel {
  readonly buffer: BoundedBuffer;
  readonly #open: () => Readable;
  readonly #outlet: Outlet | undefined;
  readonly #notify: ReturnType<typeof createTextListener> | undefined;
  #stream: Readable | undefined;
  /** The caller reads it, at a pace of their own. */
  #isTaken = false;
  /** Only our own listener reads it, which needs no stream. */
  #isShort = false;

  constructor(
    process: Pick<ExecProcess, 'stdout' | 'stderr' | 'outlets'>,
    source: OutputChunk['source'],
    { maxBuffer, listener }: { maxBuffer: number; listener: ((text: string) => void) | undefined },
  ) {
    this.buffer = new BoundedBuffer(maxBuffer);
    this.#open = () => process[source];
    this.#outlet = process.outlets?.[source];
    this.#notify = listener && createTextListener(listener);
    // A listener is told of the end too.
    if (this.#outlet === undefined || listener !== undefined) this.#listen();
  }

  get stream(): Readable {
    return this.#stream ?? this.#listen();
  }

  get isOver(): boolean {
    if (this.#stream === undefined) return this.#outlet?.isOver ?? false;
    return this.#stream.readableEnded || this.#stream.destroyed;
  }

  /** For a caller who reads it. */
  take(): Readable {
    this.lengthen();
    const { stream } = this;
    if (!this.#isTaken) {
      this.#isTaken = true;
      // It was paused for our own listener; a first listener of theirs sets it flowing, as on any stream.
      stream.on('newListener', (event) => {
        if (event === 'data') stream.resume();
      });
    }
    return stream;
  }

  /** Reads it where nobody else does. */
  resume(): void {
    if (this.#isTaken || (this.#stream?.listenerCount('readable') ?? 0) > 0) return;
    // What came before anyone asked goes first.
    if (this.#stream === undefined && this.#outlet?.hasStream === true) this.#listen();
    this.#isShort = true;
    this.#shorten();
    this.#stream?.resume();
  }

  /** For whoever is to see what comes. */
  lengthen(): Readable {
    const wasShort = this.#isShort;
    this.#isShort = false;
    const { stream } = this;
    this.#direct?.divert(undefined);
    if (wasShort) stream.resume();
    return stream;
  }

  /** Ends it after what was read, whoever still holds it. */
  letGo(): void {
    this.#direct?.letGo();
  }

  /** Holds on to none of the bytes that it is given. */
  readonly #keep = (chunk: Uint8Array): void => {
    this.buffer.push(chunk);
    this.#notify?.write(chunk);
  };

  #listen(): Readable {
    const stream = this.#open();
    this.#stream = stream;
    // Paused first: adding the listener would set the stream flowing before anyone has asked for output.
    stream.pause();
    stream.on('data', (chunk) => {
      this.#keep(chunk);
      this.#shorten();
    });
    if (this.#notify) stream.once('end', this.#notify.end);
    // A stream that fails ends early; the exit tells the rest.
    stream.on('error', () => undefined);
    return stream;
  }

  /** The short way to our own listener, for as long as nobody else listens: as soon as all that came before is read. */
  #shorten(): void {
    if (this.#isShort && (this.#stream?.readableLength ?? 0) === 0) this.#direct?.divert(this.#keep);
  }

  get #direct(): Divertible | undefined {
    if (this.#outlet !== undefined) return this.#outlet;
    return this.#stream !== undefined && isDivertible(this.#stream) ? this.#stream : undefined;
  }
}
