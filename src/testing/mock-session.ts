import { constants } from 'node:os';
import { DriverError } from '../core/error.js';
import type { ResolvedPolicy } from '../policy/types.js';
import type { SessionOptions } from '../provider/create-options.js';
import { type ExecOptions, type ExecResult, resolveExecOptions } from '../session/exec-options.js';
import type { MockCall, MockResult } from './script.js';

/** Exit code of a command that its time or its caller ended, as of real sessions. */
const TIMED_OUT = 124;
const KILLED = 128 + constants.signals.SIGKILL;

export interface MockSessionParts {
  sessionId: string;
  policy: ResolvedPolicy;
  asked: SessionOptions;
  run: (call: MockCall) => Promise<MockResult>;
  /** Called once, when it is destroyed. */
  forget: () => void;
}

/** A session in memory: nothing runs in it and nothing is isolated by it. */
export class MockSession implements AsyncDisposable {
  /** `mock-` and its name, or a random one. */
  readonly sessionId: string;
  /** As it was asked for, with all that it has by default. */
  readonly policy: ResolvedPolicy;
  /** What it was asked to be, beside its policy. */
  readonly asked: SessionOptions;
  readonly #run: MockSessionParts['run'];
  readonly #forget: () => void;
  #state: 'running' | 'stopped' | 'destroyed' = 'running';
  #execs = 0;

  constructor({ sessionId, policy, asked, run, forget }: MockSessionParts) {
    this.sessionId = sessionId;
    this.policy = policy;
    this.asked = asked;
    this.#run = run;
    this.#forget = forget;
  }

  /** `running` from its creation on. */
  get state(): 'running' | 'stopped' | 'destroyed' {
    return this.#state;
  }

  /**
   * Resolves with what was scripted for the command, 124 when that takes longer than its timeout. Options are checked as
   * those of a real session; `env`, `cwd`, `user`, `input`, `tty` and limits of output change nothing and are in the calls.
   */
  async exec(command: string, args: readonly string[] = [], options: ExecOptions = {}): Promise<ExecResult> {
    const resolved = resolveExecOptions(options, this.policy.resources.timeoutMs);
    this.#assertRunning();
    if (resolved.signal?.aborted) throw new DriverError('canceled', 'exec was aborted', { operation: 'exec' });
    this.#execs += 1;
    const execId = `mock-${this.#execs}`;
    const started = Date.now();
    const answer = this.#run({ sessionId: this.sessionId, command, args: [...args], options });
    const { exitCode = 0, stdout = '', stderr = '', oomKilled = false, ...rest } = await race(answer, resolved);
    // As with a real one, whose processes are gone.
    if (this.#state === 'destroyed') this.#assertRunning();
    if (stdout !== '') options.onStdout?.(stdout);
    if (stderr !== '') options.onStderr?.(stderr);
    const truncated = { stdout: 0, stderr: 0 };
    const durationMs = Date.now() - started;
    return { execId, exitCode, stdout, stderr, durationMs, isCanceled: false, oomKilled, truncated, ...rest };
  }

  /** An exec is refused from now on, until it is started again. */
  async stop(): Promise<void> {
    this.#assertThere();
    this.#state = 'stopped';
  }

  /** Refused (`failed-precondition`) where it is not stopped. */
  async start(): Promise<void> {
    this.#assertThere();
    if (this.#state === 'running') {
      throw new DriverError('failed-precondition', 'the session is running, only a stopped one can be started');
    }
    this.#state = 'running';
  }

  /** May be called twice. */
  async destroy(): Promise<void> {
    if (this.#state === 'destroyed') return;
    this.#state = 'destroyed';
    this.#forget();
  }

  /** The same as `destroy`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.destroy();
  }

  #assertThere(): void {
    if (this.#state === 'destroyed') throw new DriverError('destroyed', `session ${this.sessionId} is destroyed`);
  }

  #assertRunning(): void {
    this.#assertThere();
    if (this.#state === 'stopped') {
      throw new DriverError('failed-precondition', `session ${this.sessionId} is stopped`);
    }
  }
}

type Ended = MockResult & Partial<Pick<ExecResult, 'timedOut' | 'isCanceled'>>;

/** What comes first: the answer, the timeout or the abort. */
async function race(answer: Promise<MockResult>, { timeoutMs, signal }: ExecOptions): Promise<Ended> {
  let timer: NodeJS.Timeout | undefined;
  let cancel: (() => void) | undefined;
  const ends: Promise<Ended>[] = [answer];
  if (timeoutMs !== undefined) {
    ends.push(
      new Promise((resolve) => {
        timer = setTimeout(() => resolve({ exitCode: TIMED_OUT, timedOut: true }), timeoutMs);
      }),
    );
  }
  if (signal !== undefined) {
    ends.push(
      new Promise((resolve) => {
        cancel = () => resolve({ exitCode: KILLED, signal: 'SIGKILL', isCanceled: true });
        signal.addEventListener('abort', cancel, { once: true });
      }),
    );
  }
  try {
    return await Promise.race(ends);
  } finally {
    clearTimeout(timer);
    if (cancel !== undefined) signal?.removeEventListener('abort', cancel);
  }
}
