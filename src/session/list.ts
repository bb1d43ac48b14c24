import type { Channel } from '../rpc/channel.js';
import { findById, scanRecords } from './find.js';
import { readInfo, type SessionInfo } from './info.js';

/** Which sessions `list` yields: those that match everything given. */
export interface ListFilter {
  /** Only sessions that have each of these. Defaults to all. */
  metadata?: Record<string, string>;
  /** Only sessions in one of these states. Defaults to all. */
  state?: SessionInfo['state'][];
  /** Those too that wait in a pool and are nobody's yet. Defaults to false. */
  pooled?: boolean;
}

export async function* listSessions(
  channel: Channel,
  { metadata = {}, state, pooled = false }: ListFilter,
): AsyncGenerator<SessionInfo, void, undefined> {
  const { found, unreadable } = await scanRecords(channel);
  for (const { id, error } of unreadable) {
    const message = `session ${id} is left out of the list: ${(error as Error).message}`;
    process.emitWarning(message, { type: 'SessionWarning', code: 'CADRE_UNREADABLE_SESSION' });
  }
  for (const { record } of found) {
    if (record.pool !== undefined && !pooled) continue;
    if (Object.entries(metadata).some(([key, value]) => record.metadata[key] !== value)) continue;
    const info = await readInfo(channel, record);
    // One that was removed meanwhile looks like one that has stopped.
    if (info.state === 'stopped' && (await findById(channel, record.id)) === undefined) continue;
    if (state === undefined || state.includes(info.state)) yield info;
  }
}
