import { once } from 'node:events';
import { constants } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { DriverError, hasCode } from '../core/error.js';
import { isDaemonAway } from '../rpc/errors.js';
import { BoundedBuffer } from '../stdio/bounded-buffer.js';
import { drain } from '../stdio/drain.js';
import { mergeOutput, type OutputChunk } from '../stdio/merge.js';
import { createTextListener } from '../stdio/text.js';
import type { ExecResult, ResolvedExecOptions } from './exec-options.js';
import type { ExecProcess, ExitStatus } from './executor.js';
import type { KillReport } from './kill-tree.js';

/** Exit code of a command that its deadline ended, as timeout(1) has it. */
const TIMEOUT_CODE = 124;
/** How long a killed tree's last output is waited for, in ms: its pipes are closed already. */
const KILLED_DRAIN_MS = 500;

/** What an execution asks of the session that it runs in. */
export interface ExecutionHost {
  killTree(process: ExecProcess): Promise<KillReport>;
  /** Whether the kernel killed a process of the session for want of memory since this was last asked. */
  wasOomKilled(): boolean;
  /** Throws when the session is no more. */
  assertAlive(): void;
  /** Keeps an eye on the freeing of an exec, which goes on after its result was given. */
  track(release: Promise<void>): void;
}

/**
 * A live command. Not thenable, so that it survives an `await`. Its output is read by the first of `result()`, the
 * iteration, `stdout` or `stderr`; until then a command that writes more than a pipe holds waits for its reader.
 */
export class Execution implements AsyncIterable<OutputChunk>, AsyncDisposable {
  readonly #process: ExecProcess;
  readonly #host: ExecutionHost;
  readonly #options: ResolvedExecOptions;
  readonly #started = Date.now();
  readonly #buffers: { stdout: BoundedBuffer; stderr: BoundedBuffer };
  readonly #ended: Promise<ExitStatus>;
  #result: Promise<ExecResult> | undefined;
  #kill: Promise<KillReport> | undefined;
  readonly #taken = new Set<Readable>();
  readonly #detached = new AbortController();
  #timedOut = false;
  #isCanceled = false;

  /** @internal */
  constructor(process: ExecProcess, host: ExecutionHost, options: ResolvedExecOptions) {
    this.#process = process;
    this.#host = host;
    this.#options = options;
    this.#buffers = { stdout: new BoundedBuffer(options.maxBuffer), stderr: new BoundedBuffer(options.maxBuffer) };
    this.#listen(process.stdout, this.#buffers.stdout, options.onStdout);
    this.#listen(process.stderr, this.#buffers.stderr, options.onStderr);
    this.#ended = this.#watch();
    // Whoever asks for the result meets the failure; an execution that nobody asks must not end the program.
    this.#ended.catch(() => undefined);
  }

  get execId(): string {
    return this.#process.execId;
  }

  get pid(): number {
    return this.#process.pid;
  }

  get stdin(): Writable | null {
    return this.#process.stdin;
  }

  /** Who takes a stream reads it to its end: `result()` then leaves its pace to them. */
  get stdout(): Readable {
    return this.#take(this.#process.stdout);
  }

  get stderr(): Readable {
    return this.#take(this.#process.stderr);
  }

  /** Reads what is left of the output, waits for the end and frees the exec. Every call gives the same result. */
  result(): Promise<ExecResult> {
    this.#result ??= this.#finish();
    return this.#result;
  }

  /** Output as it comes, of both streams, with backpressure. After the last chunk the exec is freed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<OutputChunk, void, undefined> {
    try {
      yield* mergeOutput(this.#process.stdout, this.#process.stderr);
    } finally {
      await this.result();
    }
  }

  /**
   * SIGKILL (the default) ends the whole tree of the command. Any other signal goes to the command alone; SIGTERM is
   * followed by the kill of the tree when the command has not ended after `forceKillAfterDelayMs`.
   */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<KillReport> {
    if (signal === 'SIGKILL') {
      this.#kill ??= this.#host.killTree(this.#process);
      return this.#kill;
    }
    const started = Date.now();
    await this.#process.signal(constants.signals[signal]);
    const waitMs = signal === 'SIGTERM' ? this.#options.forceKillAfterDelayMs : 0;
    const ended = await Promise.race([this.#process.exited.then(() => true), sleep(waitMs, false, { ref: false })]);
    if (!ended && signal === 'SIGTERM') return this.kill('SIGKILL');
    const { pid } = this.#process;
    return {
      killed: ended ? [pid] : [],
      survivors: ended ? [] : [pid],
      verified: false,
      durationMs: Date.now() - started,
    };
  }

  /** Sets the size of the terminal; SIGWINCH follows inside. Fails without a TTY. */
  resize(cols: number, rows: number): Promise<void> {
    return this.#process.resize(cols, rows);
  }

  /**
   * Leaves the command running without us, its deadline with it; `session.executions.connect(execId)` takes it up
   * again. Until then it waits when it has written more than a pipe holds. This object is of no use afterwards.
   */
  async detach(): Promise<void> {
    this.#detached.abort(new DriverError('canceled', `exec ${this.execId} is detached`, { operation: 'exec' }));
    this.#result = Promise.reject(this.#detached.signal.reason);
    this.#result.catch(() => undefined);
    this.#process.detach();
  }

  /** Kills the command if it still runs, and frees it. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#detached.signal.aborted) return;
    if (this.#result === undefined) await this.kill();
    await this.result();
  }

  #take(stream: Readable): Readable {
    this.#taken.add(stream);
    return stream;
  }

  #listen(stream: Readable, buffer: BoundedBuffer, listener: ((text: string) => void) | undefined): void {
    const notify = listener && createTextListener(listener);
    // Paused first: adding the listener would set the stream flowing before anyone has asked for output.
    stream.pause();
    stream.on('data', (chunk: Uint8Array) => {
      buffer.push(chunk);
      notify?.write(chunk);
    });
    if (notify) stream.once('end', notify.end);
    // A stream that fails ends early; the exit tells the rest.
    stream.on('error', () => undefined);
  }

  /** Waits for the exit and meanwhile keeps the deadline and the abort signal. */
  async #watch(): Promise<ExitStatus> {
    const { timeoutMs, signal, killSignal } = this.#options;
    const { promise: failed, reject: fail } = createDeferred<never>();
    const end = () => {
      this.kill(killSignal).catch(fail);
    };
    const timeOut = () => {
      this.#timedOut = true;
      end();
    };
    const abort = () => {
      this.#isCanceled = true;
      end();
    };
    const timer = timeoutMs === undefined ? undefined : setTimeout(timeOut, timeoutMs);
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted) abort();
    const detached = this.#detached.signal;
    detached.addEventListener('abort', () => fail(detached.reason), { once: true });
    try {
      return await Promise.race([this.#process.exited, failed]);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    }
  }

  async #finish(): Promise<ExecResult> {
    const { stdout, stderr } = this.#process;
    for (const stream of [stdout, stderr]) {
      if (!this.#taken.has(stream) && stream.listenerCount('readable') === 0) stream.resume();
    }
    try {
      const status = await this.#ended;
      const kill = await this.#kill;
      const drainMs = kill === undefined ? this.#options.drainMs : KILLED_DRAIN_MS;
      await Promise.all([drain(stdout, drainMs), drain(stderr, drainMs)]);
      this.#host.assertAlive();
      return this.#describe(status, kill);
    } catch (error) {
      this.#host.assertAlive();
      throw describeLostExit(error, this.execId);
    } finally {
      this.#host.track(this.#release());
    }
  }

  #describe({ code }: ExitStatus, kill: KillReport | undefined): ExecResult {
    const { stdout, stderr } = this.#buffers;
    const signal = Object.entries(constants.signals).find(([, number]) => number === code - 128)?.[0];
    return {
      execId: this.execId,
      exitCode: this.#timedOut ? TIMEOUT_CODE : code,
      stdout: stdout.toString(),
      stderr: stderr.toString(),
      truncated: { stdout: stdout.dropped, stderr: stderr.dropped },
      durationMs: Date.now() - this.#started,
      isCanceled: this.#isCanceled,
      oomKilled: signal === 'SIGKILL' && kill === undefined && this.#host.wasOomKilled(),
      ...(this.#timedOut ? { timedOut: true } : {}),
      ...(signal === undefined ? {} : { signal: signal as NodeJS.Signals }),
      ...(kill === undefined ? {} : { kill }),
    };
  }

  /**
   * A background child may still hold the streams. The exec is then freed when it lets go: freeing it now would end
   * the child with SIGPIPE at its next line.
   */
  async #release(): Promise<void> {
    const { stdout, stderr } = this.#process;
    const open = [stdout, stderr].filter((stream) => !stream.readableEnded && !stream.destroyed);
    await Promise.all(open.map((stream) => once(stream.resume(), 'close')));
    await this.#process.release();
  }
}

function createDeferred<T>(): { promise: Promise<T>; reject: (reason: unknown) => void } {
  let reject: (reason: unknown) => void = () => undefined;
  const promise = new Promise<T>((_, give) => {
    reject = give;
  });
  promise.catch(() => undefined);
  return { promise, reject };
}

/** The process ended, but when it did nobody could tell how: never a made-up exit code. */
function describeLostExit(error: unknown, execId: string): unknown {
  // Of a daemon that is away nothing is lost: the process runs on.
  if (!hasCode(error, 'not-found', 'unavailable') || isDaemonAway(error)) return error;
  return new DriverError('data-loss', `exec ${execId} ended and its exit code is lost`, {
    operation: 'exec',
    cause: error,
  });
}
