import { constants } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { DriverError, hasCode } from '../core/error.js';
import { SnapshotsService } from '../generated/github.com/containerd/containerd/api/services/snapshots/v1/snapshots.js';
import {
  CreateTaskRequest,
  TasksService,
} from '../generated/github.com/containerd/containerd/api/services/tasks/v1/tasks.js';
import type { Mount } from '../generated/github.com/containerd/containerd/api/types/mount.js';
import { Status } from '../generated/github.com/containerd/containerd/api/types/task/task.js';
import type { Channel } from '../rpc/channel.js';
import { isDaemonAway } from '../rpc/errors.js';
import { explainFailure } from '../spec/failures.js';
import { hidesProcesses, RUNC } from '../spec/runtime.js';
import { findCgroup, type SessionCgroup } from './cgroup.js';
import type { SessionContext } from './context.js';
import { type KillReport, waitUntilGone } from './kill-tree.js';
import { endOwnShims } from './leftovers.js';
import { resumeTask } from './pause.js';
import { readStat } from './proc.js';
import type { SessionRecord } from './record.js';
import { removeTask } from './teardown.js';

const POLL_MS = 10;
const KILL_MS = 10_000;
/** For how long a shared shim is looked for that does not end meanwhile, in ms. */
const SHARED_MS = 10_000;

/** Files or FIFOs of the session's own command; all empty for a session that only keeps itself alive. */
export interface TaskIo {
  stdin: string;
  stdout: string;
  stderr: string;
  terminal: boolean;
}

/** As the runtime tells it; `created` is not started yet. */
export type TaskState = 'created' | 'running' | 'paused' | 'stopped' | 'unknown';

export interface TaskInfo {
  state: TaskState;
  pid: number;
  /** Of a stopped task; undefined when it ended while nobody could note how. */
  exitCode?: number;
}

/**
 * Resolves with the init's pid. No signal, and for runc no deadline: a creation that is given up may still come true
 * behind our back. Of other shims it may never return; whoever gets `deadline-exceeded` has to remove what is left.
 */
export async function createTask(
  { channel, createTimeoutMs }: Pick<SessionContext, 'channel' | 'createTimeoutMs'>,
  { id, runtime, asked: { shimGroup } }: Pick<SessionRecord, 'id' | 'runtime' | 'asked'>,
  rootfs: Mount[],
  io: TaskIo,
): Promise<number> {
  const deadlineMs = runtime === RUNC ? null : createTimeoutMs;
  const request = CreateTaskRequest.fromPartial({ containerId: id, rootfs, ...io });
  for (const until = Date.now() + SHARED_MS; ; ) {
    try {
      return (await channel.unary(TasksService.create, request, { deadlineMs })).pid;
    } catch (error) {
      if (shimGroup === undefined || !hasLostShim(error) || Date.now() >= until) throw describeFailure(error);
      await removeTask(channel, id);
      // containerd forgets one whose socket was removed by the one that is ending.
      await endOwnShims(channel, id);
    }
  }
}

/**
 * containerd may be led to a shim that is just ending, as its last session is gone, or trip over its socket, which that
 * removes: the next attempt starts a new one.
 */
function hasLostShim(error: unknown): boolean {
  return (
    error instanceof DriverError && /start failed: .*(dial unix|socket)|ttrpc: (server )?closed/.test(error.message)
  );
}

/** A shim's words, or runc's, as what they come from. */
function describeFailure(error: unknown): unknown {
  if (!(error instanceof DriverError)) return error;
  const cause = explainFailure(error.message);
  if (cause === undefined) return error;
  const { code, message, remedy } = cause;
  const operation = error.operation ?? 'Tasks.Create';
  return new DriverError(code, `${message}: ${remedy}`, { operation, remedy, cause: error });
}

export async function startTask(channel: Channel, id: string): Promise<void> {
  try {
    await channel.unary(TasksService.start, { containerId: id, execId: '' }, { deadlineMs: 60_000 });
  } catch (error) {
    throw describeFailure(error);
  }
}

export async function readMounts(channel: Channel, snapshotter: string, key: string): Promise<Mount[]> {
  return (await channel.unary(SnapshotsService.mounts, { snapshotter, key })).mounts;
}

const states: Record<number, TaskState> = {
  [Status.CREATED]: 'created',
  [Status.RUNNING]: 'running',
  [Status.PAUSED]: 'paused',
  [Status.PAUSING]: 'paused',
  [Status.STOPPED]: 'stopped',
};

/** A session without a task has stopped, and how is not known: the daemon or its shim died with it. */
export async function readTask(channel: Channel, id: string): Promise<TaskInfo> {
  try {
    const { process } = await channel.unary(TasksService.get, { containerId: id, execId: '' });
    const state = states[process?.status ?? 0] ?? 'unknown';
    const exit = state === 'stopped' && process !== undefined ? { exitCode: process.exitStatus } : {};
    return { state, pid: process?.pid ?? 0, ...exit };
  } catch (error) {
    if (hasCode(error, 'not-found')) return { state: 'stopped', pid: 0 };
    throw error;
  }
}

/** Of one that ran a moment ago, and fails for whatever that may be the reason of. */
export async function hasStopped(channel: Channel, id: string): Promise<boolean> {
  return (await readTask(channel, id)).state === 'stopped';
}

/** False where the daemon is away: what runs in the session needs none. */
export async function isTaskPaused(channel: Channel, containerId: string): Promise<boolean> {
  try {
    const { process } = await channel.unary(TasksService.get, { containerId, execId: '' }, { retryMs: 0 });
    return process !== undefined && states[process.status] === 'paused';
  } catch (error) {
    if (isDaemonAway(error) || hasCode(error, 'not-found')) return false;
    throw error;
  }
}

/** The session's init as this host sees it; it changes when the session is started again. */
export interface Init {
  pid: number;
  /** Undefined where it cannot be seen, see `findCgroup`. */
  cgroup: SessionCgroup | undefined;
}

/** The init of a session that has just been made. The pid may be a hypervisor's, whose cgroup is not the session's. */
export function describeInit(record: Pick<SessionRecord, 'runtime'>, pid: number): Init {
  return { pid, cgroup: hidesProcesses(record) ? undefined : findCgroup(pid) };
}

/** Ends everything in the session at once; the task stays, with its exit code. */
async function killTask(channel: Channel, id: string): Promise<void> {
  const target = { containerId: id, execId: '' };
  try {
    await channel.unary(TasksService.kill, { ...target, signal: constants.signals.SIGKILL, all: true });
    await channel.unary(TasksService.wait, target, { deadlineMs: KILL_MS });
  } catch (error) {
    if (!hasCode(error, 'not-found')) throw error;
  }
}

/** Kills the whole session and reports what that reached. */
export async function killSession(channel: Channel, id: string, { cgroup }: Init): Promise<KillReport> {
  const started = Date.now();
  const members = (cgroup?.listPids() ?? []).map(readStat).filter((stat) => stat !== undefined);
  await killTask(channel, id);
  const survivors = await waitUntilGone(members);
  return {
    killed: members.map(({ pid }) => pid).filter((pid) => !survivors.some((survivor) => survivor.pid === pid)),
    survivors: survivors.map((survivor) => survivor.pid),
    // The kernel ends a pid namespace with its init (pid_namespaces(7)), so that an ended init is the proof.
    verified: cgroup !== undefined && survivors.length === 0,
    durationMs: Date.now() - started,
  };
}

/** How a session is started again. */
export interface StartOptions {
  /** As `CreateOptions.runtime`. Defaults to what the session has. */
  runtime?: string;
}

/** How long a stop may take. */
export interface StopOptions {
  /** Ms that what runs inside has to end by itself, between SIGTERM and SIGKILL. Defaults to 10,000. */
  timeoutMs?: number;
  /** Ends the grace without a SIGKILL: what has not ended by then runs on. */
  signal?: AbortSignal;
}

/**
 * SIGTERM, a grace, SIGKILL for the whole session. The keep-alive init would end at the first SIGTERM and take all
 * others with it, so there the signal goes to the others alone.
 */
export async function stopTask(
  channel: Channel,
  id: string,
  { init: { pid: initPid, cgroup }, hasCommand }: { init: Init; hasCommand: boolean },
  { timeoutMs = 10_000, signal }: StopOptions,
): Promise<void> {
  const checkAborted = () => {
    if (!signal?.aborted) return;
    throw new DriverError('canceled', `stop of session ${id} was aborted`, { cause: signal.reason });
  };
  checkAborted();
  const until = Date.now() + timeoutMs;
  // A frozen process neither takes the signal nor dies before it is thawed.
  if ((await readTask(channel, id)).state === 'paused') await resumeTask(channel, { id, pid: initPid });
  if (hasCommand || cgroup === undefined) {
    const target = { containerId: id, execId: '' };
    try {
      await channel.unary(TasksService.kill, { ...target, signal: constants.signals.SIGTERM, all: false });
      await channel.unary(TasksService.wait, target, { deadlineMs: Math.max(1, until - Date.now()), signal });
      return;
    } catch (error) {
      if (hasCode(error, 'not-found')) return;
      checkAborted();
      if (!hasCode(error, 'deadline-exceeded')) throw error;
    }
  } else {
    const others = () => cgroup.listPids().filter((pid) => pid !== initPid);
    for (const pid of others()) terminate(pid);
    while (others().length > 0 && Date.now() < until) {
      await sleep(POLL_MS);
      checkAborted();
    }
  }
  await killTask(channel, id);
}

function terminate(pid: number): void {
  try {
    process.kill(pid, 'SIGTERM');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
