import type { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { BoundedBuffer } from '../stdio/bounded-buffer.js';
import { drain } from '../stdio/drain.js';
import { mergeOutput, type OutputChunk } from '../stdio/merge.js';
import { isDivertible } from '../stdio/reader.js';
import { createTextListener } from '../stdio/text.js';
import type { ExecResult, ResolvedExecOptions } from './exec-options.js';

type Source = OutputChunk['source'];

interface Channel {
  stream: Readable;
  buffer: BoundedBuffer;
  /** Our own listener; it holds on to none of the bytes that it is given. */
  keep: (chunk: Uint8Array) => void;
  /** The caller reads it, at a pace of their own. */
  isTaken: boolean;
  /** Only our own listener reads it, which needs no stream. */
  isShort: boolean;
}

/** Both streams of a command: kept for its result, passed on to whoever listens, and read by one of several. */
export class ExecOutput {
  readonly #channels: Record<Source, Channel>;

  /** `fail` is told what a listener of the caller's throws. */
  constructor(
    streams: Record<Source, Readable>,
    { maxBuffer, onStdout, onStderr }: ResolvedExecOptions,
    fail: (error: unknown) => void,
  ) {
    this.#channels = {
      stdout: listen(streams.stdout, maxBuffer, onStdout, fail),
      stderr: listen(streams.stderr, maxBuffer, onStderr, fail),
    };
  }

  take(source: Source): Readable {
    const channel = this.#channels[source];
    lengthen(channel);
    if (!channel.isTaken) {
      channel.isTaken = true;
      // It was paused for our own listener; a first listener of theirs sets it flowing, as on any stream.
      channel.stream.on('newListener', (event) => {
        if (event === 'data') channel.stream.resume();
      });
    }
    return channel.stream;
  }

  iterate(): AsyncGenerator<OutputChunk, void, undefined> {
    const { stdout, stderr } = this.#channels;
    for (const channel of this.#list()) lengthen(channel);
    return mergeOutput(stdout.stream, stderr.stream);
  }

  /** Reads what nobody else reads. */
  resume(): void {
    for (const channel of this.#list()) {
      const { stream, isTaken } = channel;
      if (isTaken || stream.listenerCount('readable') > 0) continue;
      channel.isShort = true;
      shorten(channel);
      stream.resume();
    }
  }

  /** See `drain`; gives up at the signal, however much a slow reader has yet to take. */
  async drain(boundMs: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#isOver) return;
    // It is there to see what comes.
    for (const channel of this.#list()) lengthen(channel);
    const drained = Promise.all(this.#list().map(({ stream }) => drain(stream, boundMs)));
    let giveUp: () => void = () => undefined;
    const aborted = new Promise<void>((resolve) => {
      giveUp = resolve;
    });
    signal.addEventListener('abort', giveUp);
    await Promise.race([drained, aborted]).finally(() => signal.removeEventListener('abort', giveUp));
  }

  get #isOver(): boolean {
    return this.#list().every(({ stream }) => stream.readableEnded || stream.destroyed);
  }

  /** Reads both to their end, whoever writes to them; or until the signal, as a reader may have stopped for good. */
  async end(signal: AbortSignal): Promise<void> {
    const open = this.#list().filter(({ stream }) => !stream.readableEnded && !stream.destroyed);
    const options = { writable: false, signal };
    // One that fails has ended too.
    await Promise.all(open.map(({ stream }) => finished(stream.resume(), options).catch(() => undefined)));
  }

  describe(): Pick<ExecResult, 'stdout' | 'stderr' | 'truncated'> {
    const stdout = this.#channels.stdout.buffer.read();
    const stderr = this.#channels.stderr.buffer.read();
    return {
      stdout: stdout.text,
      stderr: stderr.text,
      truncated: { stdout: stdout.dropped, stderr: stderr.dropped },
    };
  }

  #list(): Channel[] {
    return Object.values(this.#channels);
  }
}

function listen(
  stream: Readable,
  maxBuffer: number,
  listener: ((text: string) => void) | undefined,
  fail: (error: unknown) => void,
): Channel {
  const buffer = new BoundedBuffer(maxBuffer);
  // Thrown into the stream, it would end the program and never reach the caller.
  const notify =
    listener &&
    createTextListener((text) => {
      try {
        listener(text);
      } catch (error) {
        fail(error);
      }
    });
  // Paused first: adding the listener would set the stream flowing before anyone has asked for output.
  stream.pause();
  const keep = (chunk: Uint8Array) => {
    buffer.push(chunk);
    notify?.write(chunk);
  };
  const channel = { stream, buffer, keep, isTaken: false, isShort: false };
  stream.on('data', (chunk) => {
    keep(chunk);
    shorten(channel);
  });
  if (notify) stream.once('end', notify.end);
  // A stream that fails ends early; the exit tells the rest.
  stream.on('error', () => undefined);
  return channel;
}

/** The short way to our own listener, for as long as nobody else listens: as soon as all that came before is read. */
function shorten({ stream, isShort, keep }: Channel): void {
  if (isShort && isDivertible(stream) && stream.readableLength === 0) stream.divert(keep);
}

function lengthen(channel: Channel): void {
  channel.isShort = false;
  if (isDivertible(channel.stream)) channel.stream.divert(undefined);
}
