import type { Channel } from '../rpc/channel.js';
import type { SessionParent, SessionRecord } from './record.js';
import { readTask, type TaskState } from './task.js';

/** A session as it is now. */
export interface SessionInfo {
  sessionId: string;
  name?: string;
  state: TaskState;
  image: string;
  /** Of a fork: where it comes from. */
  parent?: SessionParent;
  runtime: string;
  metadata: Record<string, string>;
  createdAt: Date;
  expiresAt?: Date;
  /** Of a stopped session. Absent when it ended while nobody could note how: never a made-up 0. */
  exitCode?: number;
}

export async function readInfo(channel: Channel, record: SessionRecord): Promise<SessionInfo> {
  const { state, exitCode } = await readTask(channel, record.id);
  const { id, name, image, parent, runtime, metadata, createdAt, expiresAt } = record;
  return {
    sessionId: id,
    ...(name === undefined ? {} : { name }),
    state,
    image,
    ...(parent === undefined ? {} : { parent }),
    runtime,
    metadata,
    createdAt,
    ...(expiresAt === undefined ? {} : { expiresAt }),
    ...(exitCode === undefined ? {} : { exitCode }),
  };
}
