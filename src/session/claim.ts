import { isOwnerAlive } from '../core/owner.js';
import type { Lease } from '../generated/github.com/containerd/containerd/api/services/leases/v1/leases.js';
import { LeasesService } from '../generated/github.com/containerd/containerd/api/services/leases/v1/leases.js';
import type { Channel } from '../rpc/channel.js';
import { findById } from './find.js';
import { LABEL, type SessionRecord } from './record.js';

/**
 * A creation under way: the lease of the session's id, from the first step until the task is there. An image that is
 * being unpacked has one too, with an id of its own and nothing else that bears it.
 */
export interface Creation {
  id: string;
  owner: string;
  createdAt: string;
}

/** What speaks for an id. */
export interface Claim {
  creation?: Creation | undefined;
  record?: SessionRecord | undefined;
}

export function describeCreation({
  owner,
  createdAt,
}: Pick<SessionRecord, 'owner' | 'createdAt'>): Record<string, string> {
  return { [LABEL.owner]: owner, [LABEL.createdAt]: createdAt.toISOString() };
}

/** Every creation of the namespace that has not come to its end. */
export async function listCreations(channel: Channel): Promise<Creation[]> {
  const { leases } = await channel.unary(LeasesService.list, { filters: [`labels."${LABEL.owner}"`] });
  return leases.map(readCreation);
}

/** The creation is asked for first: it gives up its lease only when the record is there. */
export async function readClaim(channel: Channel, id: string): Promise<Claim> {
  const { leases } = await channel.unary(LeasesService.list, { filters: [`id==${id},labels."${LABEL.owner}"`] });
  const [creation] = leases.map(readCreation);
  return { creation, record: (await findById(channel, id))?.record };
}

/** Whether the record is that of the creation, and so only half of a session. */
export function isHalf({ creation, record }: Claim): boolean {
  return (
    creation?.owner === record?.owner &&
    creation !== undefined &&
    creation.createdAt === record?.createdAt.toISOString()
  );
}

/** Whether someone answers for it: a creation under way, or a session that has neither expired nor lost its owner. */
export function isLive(claim: Claim, now = new Date()): boolean {
  const { creation, record } = claim;
  if (creation !== undefined && isOwnerAlive(creation.owner)) return true;
  if (record === undefined || isHalf(claim)) return false;
  // One that waits in a pool is of use to its maker alone, and ends with it although it has an expiry.
  if (record.pool !== undefined && !isOwnerAlive(record.owner)) return false;
  return record.expiresAt === undefined ? isOwnerAlive(record.owner) : record.expiresAt > now;
}

/** Whether nobody has the id, or whoever had it has gone before there was a record. */
export function isUnclaimed(claim: Claim): boolean {
  return claim.record === undefined && !isLive(claim);
}

/**
 * Whether what has the record's id is still the record's. A name comes again, and a session of the name that began
 * later must stay unharmed; other ids are random.
 */
export async function isStillOurs(channel: Channel, record: SessionRecord): Promise<boolean> {
  if (record.name === undefined) return true;
  const claim = await readClaim(channel, record.id);
  if (claim.record === undefined) return isHalf({ creation: claim.creation, record }) || !isLive(claim);
  return claim.record.owner === record.owner && claim.record.createdAt.getTime() === record.createdAt.getTime();
}

/** The same of the lease of its creation. */
export async function isLeaseOurs(channel: Channel, record: SessionRecord): Promise<boolean> {
  if (record.name === undefined) return true;
  return isHalf({ creation: (await readClaim(channel, record.id)).creation, record });
}

function readCreation({ id, labels }: Lease): Creation {
  return { id, owner: labels[LABEL.owner] ?? '', createdAt: labels[LABEL.createdAt] ?? '' };
}
