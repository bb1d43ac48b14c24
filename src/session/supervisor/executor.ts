import { existsSync } from 'node:fs';
import { DriverError } from '../../core/error.js';
import type { OciProcess, OciUser } from '../../spec/types.js';
import type { ExecProcess, ExecRequest, Executor, FilesRequest, RunningExec } from '../executor.js';
import { readCommand, readPresent, readProgram } from '../proc.js';
import type { Init } from '../task.js';
import type { Link } from './link.js';
import { findPids } from './pids.js';
import { RemoteProcess } from './process.js';
import { answer, encodeCommand, encodeFiles, request } from './protocol.js';

/** As long as Tasks.Start has: only a session without any processor time, or memory, takes longer than a moment. */
const START_MS = 60_000;

export interface SupervisorParts {
  /** Of its socket. */
  path: string;
  /** Connects to it. */
  open: () => Promise<Link>;
  /** Whom it runs as, and so everything that it starts. */
  user: OciUser;
  /** As it was last seen. */
  init: () => Init;
  /** As it is now. */
  renewInit: () => Promise<Init>;
  /** Whether the runtime says that it is, for a session whose control group this host does not see. */
  isPaused: () => Promise<boolean>;
  /** Starts what the supervisor cannot: it has no privilege to become somebody else. */
  tasks: Executor;
}

/** Starts processes through the session's own supervisor, over its socket: no runtime, no shim, no daemon. */
export class SupervisorExecutor implements Executor {
  readonly #parts: SupervisorParts;
  #link: Promise<Link> | undefined;
  #current: Link | undefined;

  constructor(parts: SupervisorParts) {
    this.#parts = parts;
  }

  get isLinked(): boolean {
    return this.#current?.isOpen ?? false;
  }

  async start(asked: ExecRequest): Promise<ExecProcess> {
    const { execId, process, stdin, isBrief = false, signal } = asked;
    const command = this.tellsAlone(process) ? encodeCommand(execId, process, { stdin, atOnce: !isBrief }) : undefined;
    if (command === undefined) return this.#parts.tasks.start(asked);
    await this.#assertThawed();
    const link = await this.#connect();
    if (signal?.aborted) throw new DriverError('canceled', `start of ${execId} was aborted`, { cause: signal.reason });
    return this.#ask(link, { execId, command: process.args[0] ?? '' }, request.exec, command);
  }

  tellsAlone({ user }: OciProcess): boolean {
    return isSame(user, this.#parts.user);
  }

  owns(pid: number): boolean {
    const own = readProgram(this.#parts.init().pid);
    return own !== undefined && readProgram(pid) === own;
  }

  async startFiles(asked: FilesRequest): Promise<ExecProcess> {
    await this.#assertThawed();
    const link = await this.#connect();
    return this.#ask(link, { execId: asked.execId, command: 'files' }, request.exec, encodeFiles(asked));
  }

  async connect(execId: string): Promise<ExecProcess> {
    const link = await this.#connect();
    try {
      return await this.#ask(link, { execId, command: '' }, request.connect, Buffer.from(execId));
    } catch (error) {
      if (error instanceof DriverError && error.code === 'not-found') return this.#parts.tasks.connect(execId);
      throw error;
    }
  }

  async list(): Promise<RunningExec[]> {
    const link = await this.#connect();
    const answers = await link.ask(request.list, (type) => type === answer.listed);
    const own = answers
      .filter(({ type }) => type === answer.item)
      .map(({ payload }) => {
        const inside = { pid: payload.readUInt32LE(0), reaper: payload.readUInt32LE(4) };
        const { pid } = findPids(this.#parts.init(), inside, performance.now());
        const isSeen = this.#parts.init().cgroup !== undefined;
        return { execId: payload.toString('utf8', 8), pid, command: isSeen ? readCommand(pid) : [] };
      });
    return [...own, ...(await this.#parts.tasks.list())];
  }

  async #assertThawed(): Promise<void> {
    const { cgroup } = this.#parts.init();
    if (cgroup === undefined ? await this.#parts.isPaused() : readPresent(() => cgroup.isFrozen()))
      throw new DriverError('failed-precondition', 'the session is paused', { operation: 'exec' });
  }

  async #ask(
    link: Link,
    name: { execId: string; command: string },
    type: number,
    payload: Uint8Array,
  ): Promise<ExecProcess> {
    const process = new RemoteProcess(link, name, (inside, at) => findPids(this.#parts.init(), inside, at));
    process.send(type, payload);
    const late = setTimeout(() => {
      process.giveUp(new DriverError('deadline-exceeded', `no answer in ${START_MS} ms`, { operation: 'exec' }));
    }, START_MS).unref();
    try {
      return await process.started;
    } catch (error) {
      await process.release();
      throw error;
    } finally {
      clearTimeout(late);
    }
  }

  /** A link is made anew when the session was started again. */
  #connect(): Promise<Link> {
    const open = async () => {
      await this.#parts.renewInit();
      if (!existsSync(this.#parts.path)) {
        throw new DriverError('failed-precondition', 'the session does not run', { operation: 'exec' });
      }
      const link = await this.#parts.open();
      // Read at every command: kept open for as long as the supervisor is there.
      readPresent(() => this.#parts.init().cgroup?.keepOpen(link.closed));
      this.#current = link;
      return link;
    };
    this.#link = this.#link === undefined ? open() : this.#link.then((link) => (link.isOpen ? link : open()), open);
    return this.#link;
  }
}

/** Its groups too: the supervisor can neither take any nor leave one. */
function isSame(one: OciUser, other: OciUser): boolean {
  const describe = ({ uid, gid, additionalGids = [] }: OciUser) => [uid, gid, ...[...additionalGids].sort()].join();
  return describe(one) === describe(other);
}
