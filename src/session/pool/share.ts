import { join } from 'node:path';
import { isOwnerAlive } from '../../core/owner.js';
import { isLive } from '../claim.js';
import { openSession } from '../connect.js';
import type { SessionContext } from '../context.js';
import { findById, listRecords, readSpec } from '../find.js';
import { lockId } from '../id-lock.js';
import { setLabel } from '../labels.js';
import { enforceNetwork } from '../network.js';
import { LABEL, type PoolPlace, type SessionRecord } from '../record.js';
import { removeSession } from '../remove.js';
import { readTask } from '../task.js';
import type { IdleSession } from './idle.js';
import { takeTicket } from './ticket.js';

/** Nobody takes what a reaper may remove at any moment, in ms. */
const MARGIN_MS = 60_000;

/** Takes one that another process has made for its own pool of the name; undefined where there is none. */
export async function adoptIdle(context: SessionContext, place: PoolPlace): Promise<IdleSession | undefined> {
  const filter = `labels."${LABEL.pool}"==${JSON.stringify(place.name)},labels."${LABEL.poolKey}"==${place.key}`;
  for (const { record } of await listRecords(context.channel, filter)) {
    if (!isFree(context, record, place)) continue;
    const idle = await lockId(context, record.id, () => adopt(context, record.id, place));
    if (idle !== undefined) return idle;
  }
  return undefined;
}

/** Under the lock of its id, so that no reaper takes it for that of a maker which has just ended. */
async function adopt(context: SessionContext, id: string, place: PoolPlace): Promise<IdleSession | undefined> {
  const { channel, owner } = context;
  const found = await findById(channel, id);
  if (found === undefined || !isFree(context, found.record, place)) return undefined;
  const { state, pid } = await readTask(channel, id);
  if (state !== 'running' || !takeTicket(join(context.directory, id))) return undefined;
  await setLabel(channel, found.container, LABEL.owner, owner);
  const record = { ...found.record, owner };
  const container = { ...found.container, labels: { ...found.container.labels, [LABEL.owner]: owner } };
  await enforceNetwork(context, record);
  const session = await openSession(context, { record, container }, pid);
  return { session, record, container, spec: readSpec(container), isClaimed: true };
}

function isFree({ owner }: SessionContext, { pool, ...record }: SessionRecord, place: PoolPlace): boolean {
  if (pool?.name !== place.name || pool.key !== place.key) return false;
  // Another pool of this process would take what its maker is just handing out for what a dead process left.
  if (record.owner === owner || !isOwnerAlive(record.owner)) return false;
  return record.expiresAt !== undefined && record.expiresAt.getTime() > Date.now() + MARGIN_MS;
}

/** Whether one that this process made for a pool is another's by now. */
export async function isAdopted(context: SessionContext, id: string): Promise<boolean> {
  // Who adopts has the lock from before the ticket is gone until the owner is another.
  return lockId(context, id, async () => {
    const found = await findById(context.channel, id);
    return found !== undefined && found.record.owner !== context.owner;
  });
}

/** Removes one that nobody has taken and nobody can any more. False when someone has. */
export async function reapIdle(context: SessionContext, id: string): Promise<boolean> {
  return lockId(context, id, async () => {
    const found = await findById(context.channel, id);
    if (found?.record.pool === undefined || isLive({ record: found.record })) return false;
    await removeSession(context, found.record);
    return true;
  });
}
