import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { DriverError } from '../../core/error.js';
import type { ExecProcess, ExitStatus } from '../executor.js';
import { describeFailure } from './failure.js';
import type { Link } from './link.js';
import { answer, encodeNumbers, encodeSize, LEFT_UNKNOWN, LOST_CODE, readFlags, request } from './protocol.js';
import { RemoteInput, RemoteOutput } from './streams.js';

/** For how long a supervisor may be at killing, in ms. */
const KILL_MS = 5_000;
const KILL_PAUSE_MS = 20;
/** As shells have it. */
const SIGKILLED = 128 + constants.signals.SIGKILL;

/** Where the command and the process that waits for it are on this host; 0 for one that is no more. */
export interface HostPids {
  pid: number;
  reaper: number;
}

/** Their numbers inside to those of the host, of what was there at a time of `performance.now()`. */
export type FindPids = (inside: HostPids, at: number) => HostPids;

/** A command that the supervisor runs for this process. */
export class RemoteProcess implements ExecProcess {
  readonly execId: string;
  readonly outlets: { stdout: RemoteOutput; stderr: RemoteOutput };
  readonly exited: Promise<ExitStatus>;
  /** Resolves when it runs. */
  readonly started: Promise<this>;
  readonly #command: string;
  readonly #link: Link;
  readonly #stream: number;
  readonly #findPids: FindPids;
  #input: RemoteInput | undefined;
  #terminal = false;
  #pids: HostPids | undefined;
  #inside: HostPids = { pid: 0, reaper: 0 };
  #startedAt = 0;
  #isAlone = false;
  #begin: (process: this) => void = () => undefined;
  #end: (status: ExitStatus) => void = () => undefined;
  #fail: (error: unknown) => void = () => undefined;
  #killed: (left: number) => void = () => undefined;

  constructor(link: Link, name: { execId: string; command: string }, findPids: FindPids) {
    this.execId = name.execId;
    this.#command = name.command;
    this.#link = link;
    this.#findPids = findPids;
    this.#stream = link.subscribe({
      data: (source, piece) => this.#outputs[source].receive(piece),
      frame: (type, payload) => this.#handle(type, payload),
      lost: (error) => this.#lose(error),
    });
    this.outlets = {
      stdout: new RemoteOutput(link, this.#stream, 0),
      stderr: new RemoteOutput(link, this.#stream, 1),
    };
    const failures: ((error: unknown) => void)[] = [];
    this.started = new Promise((resolve, reject) => {
      this.#begin = resolve;
      failures.push(reject);
    });
    this.exited = new Promise((resolve, reject) => {
      this.#end = resolve;
      failures.push(reject);
    });
    this.#fail = (error) => {
      for (const reject of failures) reject(error);
    };
    // Whoever awaits them sees the failure.
    this.started.catch(() => undefined);
    this.exited.catch(() => undefined);
  }

  /** Asks for it; nothing comes before. */
  send(type: number, payload: Uint8Array): void {
    this.#link.send(type, this.#stream, payload);
  }

  /** Looked for when it is asked for, which few ever do. */
  get pid(): number {
    return this.#find().pid;
  }

  get reaper(): number {
    return this.#find().reaper;
  }

  get isAlone(): boolean {
    return this.#isAlone;
  }

  get stdin(): RemoteInput | null {
    return this.#input ?? null;
  }

  /**
   * By the supervisor itself: what it cannot have missed is all that the command started. It does nothing else
   * meanwhile, and so gives up soon on what is slow to die; it is asked again.
   */
  async killTree(): Promise<boolean> {
    for (const until = Date.now() + KILL_MS; this.#link.isOpen && Date.now() < until; ) {
      const answered = new Promise<number>((resolve) => {
        this.#killed = resolve;
      });
      this.send(request.kill, new Uint8Array());
      // One that is paused answers nothing.
      const left = await Promise.race([answered, sleep(until - Date.now(), LEFT_UNKNOWN, { ref: false })]);
      if (left === 0 || left === LEFT_UNKNOWN) return left === 0;
      await sleep(KILL_PAUSE_MS);
    }
    return false;
  }

  async signal(number: number): Promise<void> {
    if (this.#link.isOpen) this.send(request.signal, encodeNumbers(number));
  }

  async resize(cols: number, rows: number): Promise<void> {
    if (!this.#terminal) {
      throw new DriverError('failed-precondition', `exec ${this.execId} has no terminal to resize`);
    }
    this.send(request.resize, encodeSize(cols, rows));
  }

  /** It did not start in time, and is not waited for. */
  giveUp(error: DriverError): void {
    this.#fail(error);
  }

  assumeKilled(): void {
    this.#end({ code: SIGKILLED, exitedAt: new Date() });
  }

  detach(): void {
    this.#input?.letGo();
    for (const output of this.#outputs) output.leave();
    if (this.#link.isOpen) this.#link.send(request.detach, this.#stream);
    this.#link.unsubscribe(this.#stream);
  }

  async release(): Promise<void> {
    this.#input?.destroy();
    for (const output of this.#outputs) output.destroy();
    if (this.#link.isOpen) this.#link.sendLater(request.release, this.#stream);
    this.#link.unsubscribe(this.#stream);
  }

  get stdout(): Readable {
    return this.outlets.stdout.stream;
  }

  get stderr(): Readable {
    return this.outlets.stderr.stream;
  }

  get #outputs(): [RemoteOutput, RemoteOutput] {
    return [this.outlets.stdout, this.outlets.stderr];
  }

  #find(): HostPids {
    this.#pids ??= this.#findPids(this.#inside, this.#startedAt);
    return this.#pids;
  }

  #handle(type: number, payload: Buffer): void {
    if (type === answer.started) this.#start(payload);
    else if (type === answer.failed) {
      this.#link.unsubscribe(this.#stream);
      this.#fail(describeFailure(payload, { execId: this.execId, command: this.#command }));
    } else if (type === answer.outputEnd) this.#outputs[payload.readUInt32LE() === 0 ? 0 : 1].end();
    else if (type === answer.inputTaken) this.#input?.take(payload.readUInt32LE());
    else if (type === answer.exited) this.#finish(payload);
    else if (type === answer.killed) this.#killed(payload.readUInt32LE());
  }

  #start(payload: Buffer): void {
    const { stdin, terminal, alone } = readFlags(payload.readUInt32LE(8));
    this.#terminal = terminal;
    this.#isAlone = alone;
    if (stdin) this.#input = new RemoteInput(this.#link, this.#stream, { terminal, waiting: payload.readUInt32LE(12) });
    this.#inside = { pid: payload.readUInt32LE(0), reaper: payload.readUInt32LE(4) };
    this.#startedAt = performance.now();
    this.#begin(this);
  }

  #finish(payload: Buffer): void {
    const code = payload.readUInt32LE(0);
    if (code === LOST_CODE) this.#fail(new DriverError('not-found', `what waited for exec ${this.execId} was killed`));
    else this.#end({ code, exitedAt: new Date(Number(payload.readBigUInt64LE(4))) });
  }

  #lose(error: DriverError): void {
    // It goes with its session alone, and the kernel ends with it all that runs there (pid_namespaces(7)).
    if (error.code === 'not-found') this.assumeKilled();
    this.#fail(error);
    this.#killed(LEFT_UNKNOWN);
    for (const output of this.#outputs) output.end();
    this.#input?.destroy();
  }
}
