import { DriverError } from '../core/error.js';
import { checkOptions } from '../policy/rule.js';
import { whole } from '../policy/schema.js';
import type { Channel } from '../rpc/channel.js';
import { findById } from './find.js';
import { setLabel } from './labels.js';
import { LABEL } from './record.js';

/** A hundred years: beyond what a Date holds there is no time to write down. */
const TTL_MS = 100 * 365 * 86_400_000;

export const timeToLive = whole(1, TTL_MS, 'of ms');

/** Sets the end of a session's life to `ttlMs` from now and resolves with it. */
export async function extendSession(channel: Channel, id: string, ttlMs: number): Promise<Date> {
  checkOptions('ttl', { ttlMs }, { ttlMs: timeToLive }, ['ttlMs']);
  const found = await findById(channel, id);
  if (found === undefined) throw new DriverError('not-found', `no session ${id}`, { operation: 'extend' });
  const expiresAt = new Date(Date.now() + ttlMs);
  await setLabel(channel, found.container, LABEL.expiresAt, expiresAt.toISOString());
  return expiresAt;
}
