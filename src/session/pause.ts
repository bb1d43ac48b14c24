import { setTimeout as sleep } from 'node:timers/promises';
import { withLock } from '../core/lock.js';
import { TasksService } from '../generated/github.com/containerd/containerd/api/services/tasks/v1/tasks.js';
import type { Channel } from '../rpc/channel.js';
import { findCgroup, type SessionCgroup } from './cgroup.js';
import { readCommand } from './proc.js';
import { isInitOf } from './teardown.js';

/** How often it is looked for what holds up a resume, in ms: runc takes some 30 for one. */
const RESUME_MS = 250;
/** Each may meet the next command that is being started. */
const ATTEMPTS = 10;
/** For how long a kill waits for its turn, and a resume for runc to have started what it was starting, in ms. */
const BRIEF_MS = 1_000;
const START_MS = 1_000;
const POLL_MS = 5;

/** A task, and its init as this host sees it. */
export interface Frozen {
  id: string;
  pid: number;
}

/**
 * Alone of all processes (`withLock`) with what freezes and thaws the session: to runc a session that a kill holds for a
 * moment is a paused one, and a kill would let go, or hold on to, what runc has frozen or thawed in between.
 */
export function lockFreezer<T>({ address, namespace }: Channel, id: string, work: () => Promise<T>): Promise<T> {
  return withLock([address, namespace, id, 'freezer'], work);
}

/** The same for a kill, which waits for nobody that is stuck. */
export function lockFreezerBriefly<T>(channel: Channel, id: string, work: () => Promise<T>): Promise<T> {
  let run: Promise<T> | undefined;
  const begin = () => {
    run ??= work();
    return run;
  };
  const late = sleep(BRIEF_MS, undefined, { ref: false }).then(begin);
  return Promise.race([lockFreezer(channel, id, begin).catch(begin), late]);
}

export async function pauseTask(channel: Channel, containerId: string): Promise<void> {
  await lockFreezer(channel, containerId, () => channel.unary(TasksService.pause, { containerId }));
}

export function resumeTask(channel: Channel, frozen: Frozen): Promise<void> {
  return lockFreezer(channel, frozen.id, () => thaw(channel, frozen));
}

/**
 * A pause may meet runc while it starts a command. What is to become the command is frozen then, runc waits for it, and a
 * resume waits in the shim for runc, for ever. Where that is seen it is thawed without the shim, which runc's own resume takes
 * amiss (container not paused): when the command runs the group is frozen once more for that.
 */
async function thaw(channel: Channel, { id, pid }: Frozen): Promise<void> {
  const find = () => (isInitOf(pid, id) ? findCgroup(pid) : undefined);
  for (let attempt = 1; ; attempt++) {
    const late = setInterval(() => {
      try {
        const cgroup = find();
        if (cgroup !== undefined && isStarting(cgroup)) cgroup.thaw();
      } catch {
        // A group that has gone, or is not ours to write: what became of the session is the answer's to tell.
      }
    }, RESUME_MS);
    try {
      await channel.unary(TasksService.resume, { containerId: id });
      return;
    } catch (error) {
      const isAmiss = error instanceof Error && /container not paused/.test(error.message);
      const cgroup = find();
      if (!isAmiss || cgroup === undefined || attempt === ATTEMPTS) {
        if (attempt > 1) cgroup?.thaw();
        throw error;
      }
      await waitForStarts(cgroup);
      await cgroup.freeze();
    } finally {
      clearInterval(late);
    }
  }
}

/** Whether a runtime is among its processes: it becomes the command that it starts. */
function isStarting(cgroup: SessionCgroup): boolean {
  return cgroup.listPids().some((pid) => /(^|\/)(runc|crun)$/.test(readCommand(pid)[0] ?? ''));
}

/** Bounded, as what looks like it may be the session's own. */
async function waitForStarts(cgroup: SessionCgroup): Promise<void> {
  for (const until = Date.now() + START_MS; isStarting(cgroup) && Date.now() < until; ) await sleep(POLL_MS);
}
