import { randomBytes } from 'node:crypto';
import { type Cleanup, withCleanup } from '../core/cleanup.js';
import { hasCode } from '../core/error.js';
import { describeOwner, OWNER_LABEL } from '../core/owner.js';
import {
  LeasesService,
  type Resource,
} from '../generated/github.com/containerd/containerd/api/services/leases/v1/leases.js';
import type { Channel } from '../rpc/channel.js';

/** A lease outlives a client that died in the middle by this long, in ms: the slowest import takes minutes. */
const LEASE_MS = 24 * 60 * 60 * 1000;

/** Deleting a lease runs the garbage collector, which takes long on a slow disk with large layers. */
export const COLLECT_MS = 120_000;

export interface Leased {
  /** The caller's connection, with all that it creates held by the lease. */
  channel: Channel;
  /** Holds something that was there before. It need not exist (any more): ask afterwards. */
  hold(resource: Resource): Promise<void>;
  /** What it holds: of type `content`, or `snapshots/` and a snapshotter's name. */
  list(): Promise<Resource[]>;
}

/**
 * Runs `work` under a lease of its own and deletes the lease on every way out, with a garbage collection: what `work`
 * made and nothing refers to is gone when this returns. Keeps both failures when the deletion fails too.
 */
export async function withOwnLease<T>(
  channel: Channel,
  work: (leased: Leased) => Promise<T>,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<T> {
  return withCleanup(async (undo) => work(await acquireLease(channel, undo, { signal })));
}

/** What nothing refers to is gone when this resolves. */
export async function collectGarbage(channel: Channel): Promise<void> {
  await withOwnLease(channel, async () => undefined);
}

/** A lease that `undo` gives back, with a garbage collection, for work that is no one call. */
export async function acquireLease(
  channel: Channel,
  undo: Cleanup,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<Leased> {
  const expire = new Date(Date.now() + LEASE_MS).toISOString();
  // The reaper takes a lease whose owner has ended; the expiry is for a host that has none.
  const labels = { [OWNER_LABEL]: describeOwner(), 'containerd.io/gc.expire': expire };
  const id = `cadre-image-${randomBytes(10).toString('hex')}`;
  await undo.acquire(
    'lease',
    // Without the signal: a creation that is given up may still come true, behind its deletion.
    () => channel.unary(LeasesService.create, { id, labels }),
    () => releaseLease(channel, id),
  );
  // As names: what it holds once it holds until it goes.
  const held = new Set<string>();
  return {
    channel: channel.withLease(id),
    async hold(resource) {
      if (held.has(nameResource(resource))) return;
      await channel.unary(LeasesService.addResource, { id, resource }, { signal, idempotent: true });
      held.add(nameResource(resource));
    },
    async list() {
      const { resources } = await channel.unary(LeasesService.listResources, { id }, { signal });
      for (const resource of resources) held.add(nameResource(resource));
      return resources;
    },
  };
}

function nameResource({ type, id }: Resource): string {
  return `${type} ${id}`;
}

async function releaseLease(channel: Channel, id: string): Promise<void> {
  try {
    await channel.unary(LeasesService.delete, { id, sync: true }, { idempotent: true, deadlineMs: COLLECT_MS });
  } catch (error) {
    if (!hasCode(error, 'not-found')) throw error;
  }
}
