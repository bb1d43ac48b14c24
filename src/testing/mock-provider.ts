import { randomBytes } from 'node:crypto';
import { availableParallelism, totalmem } from 'node:os';
import { CapabilityMismatchError, createInputError, DriverError } from '../core/error.js';
import { type Capabilities, describeCapabilities, findMismatches, type Place } from '../policy/capabilities.js';
import type { FlatPolicy, IsolationPolicy } from '../policy/types.js';
import { type CreateOptions, parseCreateOptions } from '../provider/create-options.js';
import type { ExecOptions, ExecResult } from '../session/exec-options.js';
import { assumeLinux } from '../spec/host.js';
import { checkRuntimeChoice } from '../spec/runtime.js';
import { MockSession } from './mock-session.js';
import { answerCommand, type MockAnswer, type MockCall, type MockResult, Script } from './script.js';

/** How a mock is set up. */
export interface MockOptions {
  /** Where its sessions are said to run, over an ordinary Linux: `{ seccomp: false }`, `{ runtime: 'kata' }`. */
  place?: Partial<Place>;
  /** What its health check says. Defaults to true. */
  healthy?: boolean;
  /** Called before each creation; what it throws the creation rejects with. */
  onCreate?: (options: CreateOptions) => void | Promise<void>;
}

/**
 * A provider in memory, to test code that uses one: policies are checked by the tables of the real one, commands do what
 * they were scripted to do. NOTHING RUNS AND NOTHING IS ISOLATED. It is in no registry and a default of nothing.
 */
export class MockProvider implements AsyncDisposable {
  /** Never `containerd`. */
  readonly name = 'mock';
  /** Every command that was asked for, in order. */
  readonly calls: MockCall[] = [];
  readonly #place: Place;
  readonly #options: MockOptions;
  readonly #script = new Script();
  readonly #sessions = new Map<string, MockSession>();

  constructor(options: MockOptions = {}) {
    this.#options = options;
    this.#place = { ...assumeLinux(process.arch, availableParallelism(), totalmem()), ...options.place };
  }

  /** Those that are not destroyed. */
  get sessions(): MockSession[] {
    return [...this.#sessions.values()];
  }

  /** What its place can do, as of the real provider. */
  capabilities(): Capabilities {
    return describeCapabilities(this.#place);
  }

  /** Says that it is a mock, whatever else it says. */
  async healthCheck(): Promise<{ healthy: boolean; message: string; details: Record<string, unknown> }> {
    const { healthy = true } = this.#options;
    return { healthy, message: 'a mock: nothing runs and nothing is isolated', details: { mock: true } };
  }

  /**
   * Scripts what commands do; a later answer goes before an earlier one. By the command, by the command and its
   * arguments, or by a function of the call. A command that nothing answers rejects with `unimplemented`.
   */
  answer(answer: MockAnswer): this;
  /** To a command with any arguments. */
  answer(command: string, result: MockResult): this;
  /** To a command with these arguments alone. */
  answer(command: string, args: readonly string[], result: MockResult): this;
  answer(first: MockAnswer | string, second?: MockResult | readonly string[], third?: MockResult): this {
    if (typeof first === 'function') this.#script.add(first);
    else if (isList(second)) this.#script.add(answerCommand(first, second, third ?? {}));
    else this.#script.add(answerCommand(first, undefined, second ?? {}));
    return this;
  }

  /** Refuses what the real provider refuses of a policy on its place. Mounts, images and users are not looked at. */
  async createSession(given: IsolationPolicy | FlatPolicy | CreateOptions = {}): Promise<MockSession> {
    const { session: asked, policy } = parseCreateOptions(given);
    const place = asked.runtime === undefined ? this.#place : { ...this.#place, runtime: asked.runtime };
    const faults = [
      ...findMismatches(policy, place),
      ...checkRuntimeChoice({ runtime: place.runtime ?? 'runc', resources: policy.resources }),
    ];
    if (faults.length > 0) throw new CapabilityMismatchError(this.name, faults);
    const { name } = asked;
    const isTaken = this.sessions.some((session) => name !== undefined && session.asked.name === name);
    if (isTaken) throw new DriverError('already-exists', `there is a session ${name} already`, { operation: 'create' });
    await this.#options.onCreate?.(given as CreateOptions);
    const sessionId = `mock-${name ?? randomBytes(8).toString('hex')}`;
    const session = new MockSession({
      sessionId,
      policy,
      asked,
      run: (call) => {
        this.calls.push(call);
        return this.#script.answer(call);
      },
      forget: () => this.#sessions.delete(sessionId),
    });
    this.#sessions.set(sessionId, session);
    return session;
  }

  /** The session of that id or name; `not-found` where there is none. */
  async connect(sessionIdOrName: string): Promise<MockSession> {
    const found = this.sessions.find(
      ({ sessionId, asked }) => sessionId === sessionIdOrName || asked.name === sessionIdOrName,
    );
    if (found === undefined) throw new DriverError('not-found', `there is no session ${sessionIdOrName}`);
    return found;
  }

  /** The same as `createSession`, for a caller that keeps the id alone. */
  async startSession(policy: IsolationPolicy | FlatPolicy | CreateOptions = {}): Promise<string> {
    return (await this.createSession(policy)).sessionId;
  }

  /** Runs a command of the script in the session of that id or name. */
  async exec(sessionId: string, command: readonly string[], options?: ExecOptions): Promise<ExecResult> {
    const [file, ...args] = command;
    if (file === undefined) {
      const expected = 'an array of the command and its arguments';
      throw createInputError('exec', [{ path: 'command', value: command, expected }]);
    }
    return (await this.connect(sessionId)).exec(file, args, options);
  }

  /** Stops the session of that id or name. */
  async stopSession(sessionId: string): Promise<void> {
    await (await this.connect(sessionId)).stop();
  }

  /** One that is gone already is none to complain of. */
  async destroySession(sessionId: string): Promise<void> {
    await this.#sessions.get(sessionId)?.destroy();
  }

  /** Destroys all its sessions. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.sessions.map((session) => session.destroy()));
  }
}

function isList(value: MockResult | readonly string[] | undefined): value is readonly string[] {
  return Array.isArray(value);
}
