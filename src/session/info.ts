import type { Channel } from '../rpc/channel.js';
import type { ExecutorName, SessionParent, SessionRecord } from './record.js';
import { readTask, type TaskState } from './task.js';

/** A session as it is now. */
export interface SessionInfo {
  /** Begins with `cadre-`. */
  sessionId: string;
  /** Absent where it was given none. */
  name?: string;
  /** As the runtime tells it now. */
  state: TaskState;
  /** Canonical reference of what it was made of. */
  image: string;
  /** Of a fork: where it comes from. */
  parent?: SessionParent;
  /** containerd's name of it, such as `io.containerd.runc.v2`. */
  runtime: string;
  /** What starts its commands. */
  executor: ExecutorName;
  /** Why that one. Absent in sessions of earlier versions. */
  executorReason?: string;
  /** Sessions of it share a shim. Absent for one that has its own. */
  shimGroup?: string;
  /** What it may reach, where its `networkMode` is `allowlist`. */
  allow?: string[];
  /** As it was created with. */
  metadata: Record<string, string>;
  /** By this host's clock. */
  createdAt: Date;
  /** When any reaper may remove it. Absent where it ends with its owner. */
  expiresAt?: Date;
  /** Name of the pool that it waits in for someone to take it. Absent where someone has it. */
  pool?: string;
  /** Of a stopped session. Absent when it ended while nobody could note how: never a made-up 0. */
  exitCode?: number;
}

export async function readInfo(channel: Channel, record: SessionRecord): Promise<SessionInfo> {
  const { state, exitCode } = await readTask(channel, record.id);
  const { id, name, image, parent, runtime, asked, metadata, createdAt, expiresAt, pool } = record;
  return {
    sessionId: id,
    ...(name === undefined ? {} : { name }),
    state,
    image,
    ...(parent === undefined ? {} : { parent }),
    runtime,
    executor: asked.executor ?? 'task',
    ...(asked.executorReason === undefined ? {} : { executorReason: asked.executorReason }),
    ...(asked.shimGroup === undefined ? {} : { shimGroup: asked.shimGroup }),
    ...(asked.policy.networkMode === 'allowlist' ? { allow: asked.policy.asked.network?.allow ?? [] } : {}),
    metadata,
    createdAt,
    ...(expiresAt === undefined ? {} : { expiresAt }),
    ...(pool === undefined ? {} : { pool: pool.name }),
    ...(exitCode === undefined ? {} : { exitCode }),
  };
}
