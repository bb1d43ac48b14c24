import type { Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { drain } from '../stdio/drain.js';
import { mergeOutput, type OutputChunk } from '../stdio/merge.js';
import { ExecChannel } from './exec-channel.js';
import type { ExecResult, ResolvedExecOptions } from './exec-options.js';
import type { ExecProcess } from './executor.js';

/** Both streams of a command: kept for its result, passed on to whoever listens, and read by one of several. */
export class ExecOutput {
  readonly #stdout: ExecChannel;
  readonly #stderr: ExecChannel;

  /** `fail` is told what a listener of the caller's throws. */
  constructor(
    process: Pick<ExecProcess, 'stdout' | 'stderr' | 'outlets'>,
    { maxBuffer, onStdout, onStderr }: ResolvedExecOptions,
    fail: (error: unknown) => void,
  ) {
    this.#stdout = new ExecChannel(process, 'stdout', { maxBuffer, listener: guard(onStdout, fail) });
    this.#stderr = new ExecChannel(process, 'stderr', { maxBuffer, listener: guard(onStderr, fail) });
  }

  take(source: OutputChunk['source']): Readable {
    return (source === 'stdout' ? this.#stdout : this.#stderr).take();
  }

  iterate(): AsyncGenerator<OutputChunk, void, undefined> {
    return mergeOutput(this.#stdout.lengthen(), this.#stderr.lengthen());
  }

  /** Reads what nobody else reads. */
  resume(): void {
    for (const channel of this.#list()) channel.resume();
  }

  /** See `drain`; gives up at the signal, however much a slow reader has yet to take. */
  async drain(boundMs: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#isOver) return;
    // It is there to see what comes.
    const drained = Promise.all(this.#list().map((channel) => drain(channel.lengthen(), boundMs)));
    let giveUp: () => void = () => undefined;
    const aborted = new Promise<void>((resolve) => {
      giveUp = resolve;
    });
    signal.addEventListener('abort', giveUp);
    await Promise.race([drained, aborted]).finally(() => signal.removeEventListener('abort', giveUp));
  }

  get #isOver(): boolean {
    return this.#stdout.isOver && this.#stderr.isOver;
  }

  /** Reads both to their end, whoever writes to them; or until the signal, as a reader may have stopped for good. */
  async end(signal: AbortSignal): Promise<void> {
    if (this.#isOver) return;
    const open = this.#list().filter(({ isOver }) => !isOver);
    const options = { writable: false, signal };
    // One that fails has ended too.
    await Promise.all(open.map(({ stream }) => finished(stream.resume(), options).catch(() => undefined)));
  }

  /** Ends both after what was read, whoever still holds them. */
  letGo(): void {
    for (const channel of this.#list()) channel.letGo();
  }

  describe(): Pick<ExecResult, 'stdout' | 'stderr' | 'truncated'> {
    const stdout = this.#stdout.buffer.read();
    const stderr = this.#stderr.buffer.read();
    return {
      stdout: stdout.text,
      stderr: stderr.text,
      truncated: { stdout: stdout.dropped, stderr: stderr.dropped },
    };
  }

  #list(): ExecChannel[] {
    return [this.#stdout, this.#stderr];
  }
}

/** Thrown into the stream, it would end the program and never reach the caller. */
function guard(listener: ((text: string) => void) | undefined, fail: (error: unknown) => void) {
  if (listener === undefined) return undefined;
  return (text: string) => {
    try {
      listener(text);
    } catch (error) {
      fail(error);
    }
  };
}
