import { join } from 'node:path';
import type { Cleanup } from '../core/cleanup.js';
import type { Channel } from '../rpc/channel.js';
import { hidesProcesses } from '../spec/runtime.js';
import type { OciSpec } from '../spec/types.js';
import { FifoPool } from '../stdio/fifo.js';
import { SessionAudit } from './audit/session-audit.js';
import type { SessionContext } from './context.js';
import type { Executor } from './executor.js';
import { extendSession } from './extend.js';
import { findRecord, readSpec } from './find.js';
import { checkForward, type ForwardOptions, openForward, type PortForward } from './forward.js';
import type { KillReport } from './kill-tree.js';
import { Life } from './life.js';
import { keepTrimmed } from './logs.js';
import { restartMain } from './main-start.js';
import { findForwardTarget } from './network.js';
import { lockFreezerBriefly, resumeTask } from './pause.js';
import type { ExecutorName, SessionRecord } from './record.js';
import { RunningExecs } from './running-execs.js';
import { nameSocket } from './supervisor/door.js';
import { SupervisorExecutor } from './supervisor/executor.js';
import { Link } from './supervisor/link.js';
import { openRelayed } from './supervisor/relay.js';
import {
  describeInit,
  type Init,
  isTaskPaused,
  killSession,
  readMounts,
  readTask,
  type StartOptions,
  type StopOptions,
  stopTask,
} from './task.js';
import { TaskExecutor } from './task-executor.js';
import { isInitOf } from './teardown.js';
import { cacheUsers } from './user-files.js';

export interface SessionParts {
  context: SessionContext;
  record: SessionRecord;
  spec: OciSpec;
  init: Init;
  /** Gives back everything that the session holds, in the right order. */
  undo: Cleanup;
}

/** What this process knows and holds of one session, and what changes that. */
export class SessionState {
  readonly context: SessionContext;
  readonly life: Life;
  readonly audit: SessionAudit;
  readonly execs: RunningExecs;
  readonly #forwards = new Set<PortForward>();
  #record: SessionRecord;
  #spec: OciSpec;
  #init: Init;
  #stopTrimming: () => void = () => undefined;

  constructor({ context, record, spec, init }: SessionParts) {
    this.context = context;
    this.life = new Life(context, record.id);
    this.audit = new SessionAudit(context, () => ({ record: this.#record, spec: this.#spec }));
    this.#record = record;
    this.#spec = spec;
    this.#init = init;
    if (record.command !== undefined) this.#stopTrimming = keepTrimmed(this.directory);
    const executors = this.#openExecutors();
    this.execs = new RunningExecs({
      // A move to another runtime may change it.
      executor: () => executors[this.#record.asked.executor ?? 'task'],
      spec: () => this.#spec,
      hasCommand: record.command !== undefined,
      init: () => this.#init,
      lockFreezer: (work) => lockFreezerBriefly(this.channel, this.#record.id, work),
      renewInit: () => this.renewInit(),
      resolveUser: cacheUsers(() => readMounts(context.channel, record.snapshotter, record.id)),
      assertAlive: () => this.life.assert(),
      timeoutMs: record.execTimeoutMs,
      killed: (execId, { killed }) => void this.audit.tell({ action: 'kill', execId, killed }),
    });
  }

  get record(): SessionRecord {
    return this.#record;
  }

  /** Whether its init is there, as far as this host sees at once. */
  get isSound(): boolean {
    return this.#init.cgroup === undefined || isInitOf(this.#init.pid, this.#record.id);
  }

  /** Whether commands can be started in it, as the session itself tells at once; false where only containerd can tell. */
  get isReady(): boolean {
    const { cgroup } = this.#init;
    try {
      return this.isSound && this.execs.isLinked && cgroup?.isFrozen() === false;
    } catch {
      // Its control group has gone with it.
      return false;
    }
  }

  get channel(): Channel {
    return this.context.channel;
  }

  get directory(): string {
    return join(this.context.directory, this.#record.id);
  }

  /** Thaws what a pause froze. */
  async resume(): Promise<void> {
    const { pid } = await this.renewInit();
    await resumeTask(this.channel, { id: this.#record.id, pid });
  }

  /** The init as it is now: another process may have started the session again since, and on another runtime. */
  async renewInit(): Promise<Init> {
    const { id } = this.#record;
    if (this.#init.cgroup !== undefined && isInitOf(this.#init.pid, id)) return this.#init;
    const { pid } = await readTask(this.channel, id);
    if (pid === 0 || pid === this.#init.pid) return this.#init;
    this.#init = describeInit(await this.renewRecord(), pid);
    return this.#init;
  }

  /** The record as it is now: another process may have extended the session or moved it. */
  async renewRecord(): Promise<SessionRecord> {
    const { container, record } = await findRecord(this.channel, this.#record.id);
    this.#record = record;
    this.#spec = readSpec(container);
    return record;
  }

  /** What a session of a pool is from the moment on that somebody has it. */
  become({ record, spec }: Pick<SessionParts, 'record' | 'spec'>): void {
    this.#record = record;
    this.#spec = spec;
  }

  async extend(ttlMs: number): Promise<Date> {
    const expiresAt = await this.life.while(() => extendSession(this.channel, this.#record.id, ttlMs));
    this.#record = { ...this.#record, expiresAt };
    return expiresAt;
  }

  async stop(options: StopOptions): Promise<void> {
    const { id, command } = this.#record;
    const stop = async () => {
      await findRecord(this.channel, id);
      await stopTask(this.channel, id, { init: await this.renewInit(), hasCommand: command !== undefined }, options);
      await this.context.enforcers.close(id);
    };
    await this.audit.after({ action: 'stop' }, () => this.life.while(stop));
  }

  async start(options: StartOptions): Promise<void> {
    const main = { record: this.#record, directory: this.directory, ...options };
    const restart = () => this.life.while(() => restartMain(this.context, main), { mayBeStopped: true });
    const { init, record, spec } = await this.audit.run({ action: 'start' }, restart);
    this.#init = init;
    this.#record = record;
    this.#spec = spec;
  }

  async kill(): Promise<KillReport> {
    const { id } = this.#record;
    const kill = async () => {
      await findRecord(this.channel, id);
      return killSession(this.channel, id, await this.renewInit());
    };
    return this.audit.after(
      { action: 'kill' },
      () => this.life.while(kill),
      ({ killed }) => ({ killed }),
    );
  }

  async forward(options: ForwardOptions): Promise<PortForward> {
    const forward = async () => {
      checkForward(options);
      const { pid } = await this.renewInit();
      const opened = await openForward(await findForwardTarget(this.context, this.#record, pid), options);
      this.#forwards.add(opened);
      return opened;
    };
    return this.audit.run({ action: 'forward', port: options?.targetPort }, () => this.life.while(forward));
  }

  /** From now on every call is refused, and nothing here keeps the session. */
  async end(): Promise<void> {
    this.life.end();
    this.#stopTrimming();
    for (const forward of this.#forwards) await forward.close();
  }

  #openExecutors(): Record<ExecutorName, Executor> {
    const { channel, fifos, starts } = this.context;
    const { id, asked } = this.#record;
    const task = new TaskExecutor(channel, id, {
      fifos: new FifoPool(this.directory, fifos),
      isHidden: () => hidesProcesses(this.#record),
      takeTurn: (start) => starts.run(asked.shimGroup ?? id, start),
    });
    const supervisor = new SupervisorExecutor({
      path: nameSocket(this.directory),
      open: () => (hidesProcesses(this.#record) ? openRelayed(this.directory) : Link.open(nameSocket(this.directory))),
      user: this.#spec.process.user,
      init: () => this.#init,
      renewInit: () => this.renewInit(),
      isPaused: () => isTaskPaused(channel, id),
      tasks: task,
    });
    return { task, supervisor };
  }
}
