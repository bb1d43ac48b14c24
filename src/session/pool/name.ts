import { setTimeout as sleep } from 'node:timers/promises';
import { withCleanup } from '../../core/cleanup.js';
import { DriverError, hasCode } from '../../core/error.js';
import { LeasesService } from '../../generated/github.com/containerd/containerd/api/services/leases/v1/leases.js';
import type { Channel } from '../../rpc/channel.js';
import { describeCreation } from '../claim.js';
import type { SessionContext } from '../context.js';
import { findByName } from '../find.js';
import { lockId } from '../id-lock.js';
import type { SessionRecord } from '../record.js';
import { clearDead } from '../remove.js';
import { removeLease } from '../teardown.js';

/** For how long a dead session of the name is cleared away, in ms. */
const CLEAR_MS = 30_000;
const PAUSE_MS = 25;

/** Throws `already-exists` where a session has the name that came from a pool, under an id that the name does not tell. */
export async function assertNameIsFree(channel: Channel, { id, name }: Pick<SessionRecord, 'id' | 'name'>) {
  const holder = name === undefined ? undefined : await findByName(channel, name);
  if (holder !== undefined && holder.record.id !== id) throw describeHolder(name);
}

/**
 * Does what gives a session its name, alone of all that would have it. `id` is that of a session which is created with
 * the name: the lease of a creation, which both have, keeps them apart.
 */
export async function withName<T>(
  context: SessionContext,
  { id, name }: { id: string; name: string },
  work: () => Promise<T>,
): Promise<T> {
  for (const until = Date.now() + CLEAR_MS; ; await sleep(PAUSE_MS)) {
    try {
      return await attempt(context, { id, name }, work);
    } catch (error) {
      if (!hasCode(error, 'already-exists')) throw error;
      if (Date.now() < until && (await clearDead(context, id, name))) continue;
      throw describeHolder(name, error);
    }
  }
}

async function attempt<T>(
  context: SessionContext,
  { id, name }: { id: string; name: string },
  work: () => Promise<T>,
): Promise<T> {
  const { channel, owner } = context;
  return withCleanup(async (undo) => {
    const labels = describeCreation({ owner, createdAt: new Date() });
    await undo.acquire(
      'lease',
      () => lockId(context, id, () => channel.unary(LeasesService.create, { id, labels })),
      () => removeLease(channel, id),
    );
    if ((await findByName(channel, name)) !== undefined) throw describeHolder(name);
    return work();
  });
}

function describeHolder(name: string | undefined, cause?: unknown): DriverError {
  return new DriverError('already-exists', `there is a session ${name} already`, { operation: 'take', cause });
}
