import { setTimeout as sleep } from 'node:timers/promises';
import { DriverError, hasCode } from '../core/error.js';
import { ContainersService } from '../generated/github.com/containerd/containerd/api/services/containers/v1/containers.js';
import { LeasesService } from '../generated/github.com/containerd/containerd/api/services/leases/v1/leases.js';
import { TasksService } from '../generated/github.com/containerd/containerd/api/services/tasks/v1/tasks.js';
import type { Channel } from '../rpc/channel.js';
import { isCgroupOf } from '../spec/cgroup-path.js';
import { INIT_PATH } from '../spec/mounts.js';
import { findCgroup } from './cgroup.js';
import { readCommand, readOptional } from './proc.js';
import { nameSpare } from './record.js';

// Each of these undoes one acquisition of a session, may be repeated, and takes "not found" for success: what is to be
// gone is gone. They serve the undo of a failed create, `destroy` and the reaper alike.

const SIGKILL = 9;
/** For how long a task is pressed to end, in ms. A dead shim needs about a second until the daemon lets go of it. */
const TASK_GONE_MS = 20_000;
const PAUSE_MS = 50;

interface ExecTarget {
  containerId: string;
  execId: string;
}

/** Frees an exec in the shim, which leaks two descriptors otherwise; one that still runs is killed first. */
export async function deleteExec(channel: Channel, target: ExecTarget): Promise<void> {
  const remove = () => channel.unary(TasksService.deleteProcess, target, { idempotent: true, deadlineMs: 30_000 });
  try {
    await remove();
  } catch (error) {
    if (hasCode(error, 'not-found')) return;
    if (!(await isRunning(channel, target))) throw error;
    await ignore(channel.unary(TasksService.kill, { ...target, signal: SIGKILL, all: false }), 'not-found');
    await ignore(channel.unary(TasksService.wait, target), 'not-found');
    await ignore(remove(), 'not-found');
  }
}

async function isRunning(channel: Channel, target: ExecTarget): Promise<boolean> {
  // Of a daemon that is away the removal has just learned enough.
  const { process } = await channel
    .unary(TasksService.get, target, { retryMs: 0 })
    .catch(() => ({ process: undefined }));
  return process !== undefined;
}

/**
 * Kills everything in the session and removes its task; resolves when the daemon knows of no task any more. `initPid` is that
 * of the init when it was last seen, which saves asking for it.
 */
export async function removeTask(channel: Channel, containerId: string, initPid?: number): Promise<void> {
  const target = { containerId, execId: '' };
  const until = Date.now() + TASK_GONE_MS;
  for (;;) {
    try {
      // Wait is on its way before the kill, which saves its time.
      const ended = channel.unary(TasksService.wait, target, { deadlineMs: Math.max(1, until - Date.now()) });
      await Promise.all([ended, killInit(channel, containerId, initPid)]);
      await channel.unary(TasksService.delete, { containerId }, { deadlineMs: 30_000 });
      return;
    } catch (error) {
      if (hasCode(error, 'not-found')) return;
      // A shim that died answers with anything until the daemon has noticed: press on until it is not found.
      if (Date.now() >= until) {
        throw new DriverError('deadline-exceeded', `task ${containerId} did not end in ${TASK_GONE_MS} ms`, {
          operation: 'remove task',
          cause: error,
        });
      }
      await sleep(PAUSE_MS);
    }
  }
}

/**
 * Ends the init, and the kernel with it all of its pid namespace (pid_namespaces(7)). By kill(2) where the process is
 * seen to be this session's: the same call by way of the daemon starts runc, at a fifth of the time of a destroy.
 */
async function killInit(channel: Channel, containerId: string, initPid?: number): Promise<void> {
  const target = { containerId, execId: '' };
  if (initPid !== undefined && killSeen(initPid, containerId)) return;
  // Of a shim that just died Get says "not found" at once, long before the daemon has cleared it: only Wait tells.
  const { process: init } = await channel.unary(TasksService.get, target).catch(() => ({ process: undefined }));
  if (init !== undefined && killSeen(init.pid, containerId)) return;
  await channel.unary(TasksService.kill, { ...target, signal: SIGKILL, all: true }).catch(() => undefined);
}

/** False when it is not seen to be the session's init. */
function killSeen(pid: number, containerId: string): boolean {
  if (!isInitOf(pid, containerId)) return false;
  // A frozen process does not die before it is thawed.
  findCgroup(pid)?.thaw();
  return sendKill(pid);
}

/** Whether the pid is still that of this session's init, and no later process's. */
export function isInitOf(pid: number, containerId: string): boolean {
  const groups = readOptional(`/proc/${pid}/cgroup`)?.trim().split('\n') ?? [];
  return readCommand(pid)[0] === INIT_PATH && groups.some((group) => isCgroupOf(group, containerId));
}

/** False when there was no such process any more. */
function sendKill(pid: number): boolean {
  try {
    return process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/**
 * Removes the record, and what stands for it where a replacement of it broke off. Only after the task: a record removed
 * under a running task leaves the task unreachable.
 */
export async function removeRecord(channel: Channel, id: string): Promise<void> {
  await Promise.all([removeContainer(channel, id), removeContainer(channel, nameSpare(id))]);
}

export async function removeContainer(channel: Channel, id: string): Promise<void> {
  await ignore(channel.unary(ContainersService.delete, { id }, { idempotent: true }), 'not-found');
}

export async function removeLease(channel: Channel, id: string): Promise<void> {
  await ignore(channel.unary(LeasesService.delete, { id, sync: false }, { idempotent: true }), 'not-found');
}

async function ignore(call: Promise<unknown>, ...codes: Parameters<typeof hasCode>[1][]): Promise<void> {
  try {
    await call;
  } catch (error) {
    if (!hasCode(error, ...codes)) throw error;
  }
}
