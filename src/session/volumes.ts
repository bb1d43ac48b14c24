import { rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ignoreAbsent, listNames } from '../core/absent.js';
import { createInputError, DriverError, hasCode } from '../core/error.js';
import { fileName } from '../policy/fields.js';
import { checkOptions, type Rule } from '../policy/rule.js';
import { whole } from '../policy/schema.js';
import type { SessionContext } from './context.js';
import { measureDirectory } from './directory-size.js';
import { listRecords } from './find.js';
import { makeVolume, nameData, nameVolume, withVolume } from './volume-directory.js';

/** A volume: a directory that outlives the sessions which use it. */
export interface Volume {
  /** Unique for a containerd and a namespace. */
  name: string;
  /** Where its data is on this host. */
  path: string;
  /** When it was made. */
  createdAt: Date;
  /** When a session began or ceased to use it, the later of the two; else when it was made. */
  lastUsedAt: Date;
  /** Ids of the sessions that use it, stopped ones included. */
  sessions: string[];
}

/** A volume with its size, which takes a walk through it. */
export interface VolumeDetails extends Volume {
  /** What its files take on disk. */
  sizeBytes: number;
}

/** Who owns a new volume. Both default to 0, root. */
export interface VolumeOwner {
  /** User on the host. */
  uid?: number;
  /** Group on the host. */
  gid?: number;
}

/** Of volumes that no session uses. At least one of the two is to be given. */
export interface VolumePruneOptions {
  /** Removes those that were last used longer ago, in ms. */
  olderThanMs?: number;
  /** Removes the least recently used until all volumes together, those in use included, take no more. */
  keepBytes?: number;
}

/** What a prune removed. */
export interface VolumePruneReport {
  /** Names. */
  removed: string[];
  /** What they took on disk. */
  freedBytes: number;
}

/** What a removal that was cut short has left; no name of a volume begins so. */
const REMOVED = '.removed-';
const operation = 'volume';

/** Makes a volume. Throws `already-exists`, and `invalid-argument` for a name that cannot be one. */
export async function createVolume(context: SessionContext, name: string, owner: VolumeOwner = {}): Promise<Volume> {
  checkName(name);
  const id = whole(0, 2 ** 32 - 2);
  checkOptions('volume options', owner, { uid: id, gid: id });
  const { uid = 0, gid = 0 } = owner;
  const isNew = await withVolume(context, name, () => makeVolume(context, name, { uid, gid }));
  if (!isNew) throw new DriverError('already-exists', `there is a volume ${name} already`, { operation });
  return findVolume(context, name);
}

/** Every volume of this daemon and namespace, by name. */
export async function listVolumes(context: SessionContext): Promise<Volume[]> {
  const names = await listNames(context.volumes);
  const users = await listUsers(context);
  const volumes = await Promise.all(
    names.filter((name) => !name.startsWith('.')).map((name) => readVolume(context, name, users)),
  );
  return volumes.filter((volume) => volume !== undefined).sort((one, other) => (one.name < other.name ? -1 : 1));
}

export async function inspectVolume(context: SessionContext, name: string): Promise<VolumeDetails> {
  checkName(name);
  return measure(await findVolume(context, name));
}

/** Throws `failed-precondition` while a session uses it, and `not-found`. */
export async function removeVolume(context: SessionContext, name: string): Promise<void> {
  checkName(name);
  await withVolume(context, name, async () => {
    // Under the lock: a session takes its volumes after its record is there, and under the lock too.
    const { sessions } = await findVolume(context, name);
    if (sessions.length > 0) {
      throw new DriverError('failed-precondition', `volume ${name} is used by ${sessions.join(', ')}`, { operation });
    }
    // At once: nobody ever finds half a volume.
    await rename(nameVolume(context, name), join(context.volumes, `${REMOVED}${name}-${Date.now()}`));
  });
  await sweepRemoved(context);
}

/** Removes volumes by age, by size, or by both; none that a session uses. */
export async function pruneVolumes(context: SessionContext, options: VolumePruneOptions): Promise<VolumePruneReport> {
  const rules: Record<keyof VolumePruneOptions, Rule> = {
    olderThanMs: whole(0, undefined, 'of ms'),
    keepBytes: whole(0, undefined, 'of bytes'),
  };
  checkOptions('prune options', options, rules);
  const { olderThanMs, keepBytes } = options;
  if (olderThanMs === undefined && keepBytes === undefined) {
    const expected = 'olderThanMs, keepBytes or both: without them every volume would go';
    throw createInputError('prune options', [{ path: 'options', value: options, expected }]);
  }
  const volumes = await Promise.all((await listVolumes(context)).map(measure));
  volumes.sort((one, other) => one.lastUsedAt.getTime() - other.lastUsedAt.getTime());
  let total = volumes.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const report: VolumePruneReport = { removed: [], freedBytes: 0 };
  const born = Date.now() - (olderThanMs ?? Number.POSITIVE_INFINITY);
  for (const { name, lastUsedAt, sizeBytes, sessions } of volumes) {
    const isDue = lastUsedAt.getTime() < born || total > (keepBytes ?? Number.POSITIVE_INFINITY);
    if (sessions.length > 0 || !isDue || !(await isRemoved(context, name))) continue;
    total -= sizeBytes;
    report.removed.push(name);
    report.freedBytes += sizeBytes;
  }
  await sweepRemoved(context);
  return report;
}

/** False when it came into use, or was removed by someone else, since it was looked at. */
async function isRemoved(context: SessionContext, name: string): Promise<boolean> {
  try {
    await removeVolume(context, name);
    return true;
  } catch (error) {
    if (hasCode(error, 'failed-precondition', 'not-found')) return false;
    throw error;
  }
}

async function sweepRemoved({ volumes }: SessionContext): Promise<void> {
  const names = await listNames(volumes);
  for (const name of names.filter((entry) => entry.startsWith(REMOVED))) {
    await rm(join(volumes, name), { recursive: true, force: true });
  }
}

async function findVolume(context: SessionContext, name: string): Promise<Volume> {
  const volume = await readVolume(context, name, await listUsers(context));
  if (volume === undefined) throw new DriverError('not-found', `no volume ${name}`, { operation });
  return volume;
}

/** Who uses what, by the sessions' own records: there is no other place that could disagree. */
async function listUsers({ channel }: SessionContext): Promise<{ id: string; volumes?: string[] }[]> {
  return (await listRecords(channel)).map(({ record }) => record);
}

async function readVolume(
  context: SessionContext,
  name: string,
  users: readonly { id: string; volumes?: string[] }[],
): Promise<Volume | undefined> {
  const stats = await stat(nameVolume(context, name)).catch(ignoreAbsent);
  if (stats === undefined) return undefined;
  return {
    name,
    path: nameData(context, name),
    createdAt: stats.birthtime,
    lastUsedAt: stats.mtime,
    sessions: users.filter(({ volumes }) => volumes?.includes(name)).map(({ id }) => id),
  };
}

async function measure(volume: Volume): Promise<VolumeDetails> {
  return { ...volume, sizeBytes: await measureDirectory(volume.path) };
}

function checkName(name: unknown): void {
  checkOptions('volume', { name }, { name: fileName }, ['name']);
}
