import { constants } from 'node:os';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { DriverError } from '../core/error.js';
import type { OutputChunk } from '../stdio/merge.js';
import type { ExecResult, ResolvedExecOptions } from './exec-options.js';
import { ExecOutput } from './exec-output.js';
import { describeLostExit, type ExecutionHost } from './execution-host.js';
import type { ExecProcess, ExitStatus } from './executor.js';
import { pipeInput } from './input.js';
import type { KillReport } from './kill-tree.js';

/** Exit code of a command that its deadline ended, as timeout(1) has it. */
const TIMEOUT_CODE = 124;
/** How long a killed tree's last output is waited for, in ms: its pipes are closed already. */
const KILLED_DRAIN_MS = 500;

/**
 * A live command. Not thenable, so that it survives an `await`. Its output is read by the first of `result()`, the
 * iteration, `stdout` or `stderr`; until then a command that writes more than a pipe holds waits for its reader.
 */
export class Execution implements AsyncIterable<OutputChunk>, AsyncDisposable {
  readonly #process: ExecProcess;
  readonly #host: ExecutionHost;
  readonly #options: ResolvedExecOptions;
  readonly #started = Date.now();
  readonly #output: ExecOutput;
  readonly #status: Promise<ExitStatus>;
  /** Why nothing more is told of it here. */
  #detached: DriverError | undefined;
  #giveUp: (reason: unknown) => void = () => undefined;
  #result: Promise<ExecResult> | undefined;
  /** The first kill, whose report the result carries. */
  #kill: Promise<KillReport> | undefined;
  #sweep: Promise<KillReport> | undefined;
  #failure: { error: unknown } | undefined;
  #hasEnded = false;
  #timedOut = false;
  #isCanceled = false;

  /** @internal */
  constructor(process: ExecProcess, host: ExecutionHost, options: ResolvedExecOptions) {
    this.#process = process;
    this.#host = host;
    this.#options = options;
    const { stdin } = process;
    this.#output = new ExecOutput(process, options, (error) => this.#fail(error));
    this.#status = this.#watch();
    // Whoever asks for the result meets the failure; an execution that nobody asks must not end the program.
    this.#status.catch(() => undefined);
    if (options.input === undefined || stdin === null) return;
    pipeInput(options.input, stdin).catch((cause: unknown) => {
      // Half of its input looks like all of it to a command: nothing that it makes of that may count.
      const message = `the input of exec ${this.execId} failed: ${cause instanceof Error ? cause.message : cause}`;
      this.#fail(new DriverError('aborted', message, { operation: 'exec', cause }));
    });
  }

  /** Unique in its session; `session.executions.connect` takes it. */
  get execId(): string {
    return this.#process.execId;
  }

  /** Of the command's process, on the host. */
  get pid(): number {
    return this.#process.pid;
  }

  /** With `stdin: 'pipe'`, else null. Its end is the command's end of input. */
  get stdin(): Writable | null {
    return this.#process.stdin;
  }

  /** Who takes a stream reads it to its end: `result()` then leaves its pace to them. */
  get stdout(): Readable {
    return this.#output.take('stdout');
  }

  /** As `stdout`. Empty with a terminal. */
  get stderr(): Readable {
    return this.#output.take('stderr');
  }

  /** Reads what is left of the output, waits for the end and frees the exec. Every call gives the same result. */
  result(): Promise<ExecResult> {
    this.#result ??= this.#finish();
    return this.#result;
  }

  /**
   * Output as it comes, of both streams, with backpressure; after the last chunk the exec is freed. A loop that is left
   * early does not wait: the command runs on, and the rest of its output goes to `result()`.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<OutputChunk, void, undefined> {
    let isComplete = false;
    try {
      yield* this.#output.iterate();
      isComplete = true;
    } finally {
      if (this.#detached === undefined) {
        const result = this.result();
        if (isComplete) await result;
        else result.catch(() => undefined);
      }
    }
  }

  /**
   * SIGKILL (the default) and SIGTERM end the whole tree of the command; with SIGTERM the command itself has
   * `forceKillAfterDelayMs` to end first. Any other signal goes to the command alone, and is not waited for.
   */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<KillReport> {
    if (signal === 'SIGKILL') {
      const sweep = this.#killTree();
      this.#kill ??= sweep;
      return sweep;
    }
    if (signal === 'SIGTERM') {
      this.#kill ??= this.#terminate();
      return this.#kill;
    }
    const started = Date.now();
    const { pid } = this.#process;
    await this.#process.signal(constants.signals[signal]);
    const survivors = this.#hasEnded || !this.#host.seesProcesses() ? [] : [pid];
    return { killed: [], survivors, verified: false, durationMs: Date.now() - started };
  }

  /** Sets the size of the terminal; SIGWINCH follows inside. Fails without a TTY. */
  resize(cols: number, rows: number): Promise<void> {
    return this.#process.resize(cols, rows);
  }

  /**
   * Leaves the command running without us, its deadline with it; `session.executions.connect(execId)` takes it up
   * again, with the output that nobody has read here. Until then it waits when it has written more than a pipe holds.
   * Where containerd has started it and it ends before, what a pipe holds is lost, its exit code is not. A loop over the
   * output that is under way ends with what was read so far; apart from that this object is of no use afterwards.
   */
  async detach(): Promise<void> {
    this.#detached = new DriverError('canceled', `exec ${this.execId} is detached`, { operation: 'exec' });
    this.#giveUp(this.#detached);
    this.#result = Promise.reject(this.#detached);
    this.#result.catch(() => undefined);
    this.#process.detach();
  }

  /** Kills the command if it still runs, and frees it. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#detached !== undefined) return;
    if (!this.#hasEnded) await this.kill();
    // Whoever asked for the result is told what failed; the block that ends here may have failed for its own reason.
    await this.result().catch(() => undefined);
  }

  #killTree(): Promise<KillReport> {
    if (this.#sweep !== undefined) return this.#sweep;
    const sweep = this.#host.killTree(this.#process).finally(() => {
      this.#sweep = undefined;
    });
    sweep.then((report) => this.#endOutput(report)).catch(() => undefined);
    this.#sweep = sweep;
    return sweep;
  }

  /** What a kill may have left could hold the output open for ever, and with it every reader. */
  async #endOutput({ verified }: KillReport): Promise<void> {
    if (verified) return;
    await this.#status;
    await this.#output.drain(KILLED_DRAIN_MS, this.#host.closed);
    if (this.#detached === undefined) this.#output.letGo();
  }

  async #terminate(): Promise<KillReport> {
    const started = Date.now();
    const { pid, exited } = this.#process;
    const wasSeen = !this.#hasEnded && this.#host.seesProcesses();
    await this.#process.signal(constants.signals.SIGTERM);
    const grace = new AbortController();
    await Promise.race([
      exited.catch(() => undefined),
      sleep(this.#options.forceKillAfterDelayMs, undefined, { signal: grace.signal }).catch(() => undefined),
    ]);
    grace.abort();
    // What it started may have ignored the signal, or never have been told.
    const report = await this.#killTree();
    const killed = wasSeen && this.#hasEnded && !report.killed.includes(pid) ? [pid, ...report.killed] : report.killed;
    return { ...report, killed, durationMs: Date.now() - started };
  }

  /** Ends the command, and the result with it: there is no use in either any more. */
  #fail(error: unknown): void {
    if (this.#failure !== undefined || this.#detached !== undefined) return;
    this.#failure = { error };
    if (!this.#hasEnded) this.kill().catch(() => undefined);
  }

  /** Waits for the exit and meanwhile keeps the deadline and the abort signal. */
  async #watch(): Promise<ExitStatus> {
    const { timeoutMs, signal, killSignal } = this.#options;
    const failed = new Promise<never>((_, reject) => {
      this.#giveUp = reject;
    });
    const timeOut = () => {
      this.#timedOut = true;
      this.kill(killSignal).catch(this.#giveUp);
    };
    const abort = () => {
      this.#isCanceled = true;
      this.kill(killSignal).catch(this.#giveUp);
    };
    const timer = timeoutMs === undefined ? undefined : setTimeout(timeOut, timeoutMs);
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted) abort();
    try {
      return await Promise.race([this.#process.exited, failed]);
    } finally {
      this.#hasEnded = true;
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    }
  }

  async #finish(): Promise<ExecResult> {
    this.#output.resume();
    try {
      const status = await this.#status;
      const kill = await this.#kill;
      await this.#output.drain(kill === undefined ? this.#options.drainMs : KILLED_DRAIN_MS, this.#host.closed);
      this.#host.assertAlive();
      if (this.#failure !== undefined) throw this.#failure.error;
      return this.#describe(status, kill);
    } catch (error) {
      this.#host.assertAlive();
      throw describeLostExit(error, this.execId);
    } finally {
      if (this.#detached === undefined) this.#host.track(this.#release());
    }
  }

  async #describe({ code }: ExitStatus, kill: KillReport | undefined): Promise<ExecResult> {
    const signal = code > 128 ? findSignal(code - 128) : undefined;
    return {
      execId: this.execId,
      exitCode: this.#timedOut ? TIMEOUT_CODE : code,
      ...this.#output.describe(),
      durationMs: Date.now() - this.#started,
      isCanceled: this.#isCanceled,
      oomKilled: kill === undefined && (await this.#host.wasOomKilled(this.#process, signal === 'SIGKILL')),
      ...(this.#timedOut ? { timedOut: true } : {}),
      ...(signal === undefined ? {} : { signal }),
      ...(kill === undefined ? {} : { kill }),
    };
  }

  /**
   * A background child may still hold the streams. The exec is then freed when it lets go: freeing it now would end
   * the child with SIGPIPE at its next line.
   */
  async #release(): Promise<void> {
    await this.#output.end(this.#host.closed);
    await this.#process.release();
  }
}

function findSignal(number: number): NodeJS.Signals | undefined {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0] as NodeJS.Signals | undefined;
}
