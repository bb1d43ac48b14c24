import { hasCode } from '../core/error.js';
import { accept, checkOptions, type Rule } from '../policy/rule.js';
import { boolean } from '../policy/schema.js';
import type { Channel } from '../rpc/channel.js';
import { removeImage } from './image.js';
import { collectGarbage } from './lease.js';
import { type ImageUsage, type Inventory, summarizeUsage, takeInventory } from './usage.js';
import { listUsers } from './users.js';

/** Which images may go; all that nothing was made of, without options. */
export interface PruneOptions {
  /** Only images whose name got its meaning this long ago, in ms. Defaults to 0. */
  olderThanMs?: number;
  /** Only until all images and snapshots of the namespace take no more than this, the oldest first. Defaults to 0. */
  maxBytes?: number;
  /** Tells what would be removed, and removes nothing. Defaults to false. */
  dryRun?: boolean;
}

/** What a prune removed, or would with `dryRun`. */
export interface PruneReport {
  /** Names, in the order of their removal. */
  removed: string[];
  /** What only they held. */
  freedBytes: number;
  /** Names that containers were made of. */
  inUse: string[];
}

const count = accept((value) => Number.isSafeInteger(value) && (value as number) >= 0, 'a whole number of at least 0');
const rules: Record<keyof PruneOptions, Rule> = { olderThanMs: count, maxBytes: count, dryRun: boolean };

/** Removes images that no container was made of, the oldest first, and collects what only they held. */
export async function pruneImages(
  channel: Channel,
  snapshotter: string,
  options: PruneOptions = {},
): Promise<PruneReport> {
  checkOptions('prune options', options, rules);
  const { olderThanMs = 0, maxBytes = 0, dryRun = false } = options;
  const now = Date.now();
  const users = await listUsers(channel);
  let rest = await takeInventory(channel, snapshotter);
  const report: PruneReport = { removed: [], freedBytes: 0, inUse: [] };
  const before = summarizeUsage(rest).totalBytes;
  const oldestFirst = [...rest.images].sort((a, b) => a.stored.updatedAt.getTime() - b.stored.updatedAt.getTime());
  for (const { stored } of oldestFirst) {
    const { name, updatedAt } = stored;
    if (users.has(name)) report.inUse.push(name);
    else if (now - updatedAt.getTime() >= olderThanMs && before - report.freedBytes > maxBytes) {
      if (!dryRun && !(await removeIfThere(channel, name))) continue;
      report.removed.push(name);
      report.freedBytes += findBytes(summarizeUsage(rest), name);
      rest = withoutImage(rest, name);
    }
  }
  // The end of a lease is what makes the daemon collect now.
  if (!dryRun && report.removed.length > 0) await collectGarbage(channel);
  return report;
}

async function removeIfThere(channel: Channel, name: string): Promise<boolean> {
  try {
    await removeImage(channel, name);
    return true;
  } catch (error) {
    if (hasCode(error, 'not-found')) return false;
    throw error;
  }
}

function findBytes({ images }: ImageUsage, name: string): number {
  return images.find((image) => image.name === name)?.uniqueBytes ?? 0;
}

function withoutImage(inventory: Inventory, name: string): Inventory {
  return { ...inventory, images: inventory.images.filter(({ stored }) => stored.name !== name) };
}
