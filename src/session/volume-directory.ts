import { chmod, chown, mkdtemp, rename, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { ignoreAbsent } from '../core/absent.js';
import { withLock } from '../core/lock.js';
import { isWithin } from '../policy/mounts.js';
import type { OciUser } from '../spec/types.js';
import type { SessionContext } from './context.js';
import { describeFileFailure, makeDirectory } from './directory.js';

/** The volume itself, for root alone; its time of modification is that of its last use. */
export function nameVolume({ volumes }: Pick<SessionContext, 'volumes'>, name: string): string {
  return join(volumes, name);
}

/** What a session sees of it. */
export function nameData(context: Pick<SessionContext, 'volumes'>, name: string): string {
  return join(nameVolume(context, name), 'data');
}

/** Whether a source is of a volume. */
export function isVolume({ volumes }: SessionContext, source: string): boolean {
  return isWithin(source, volumes);
}

/** One at a time makes or removes a volume of this name. */
export function withVolume<T>({ channel }: SessionContext, name: string, work: () => Promise<T>): Promise<T> {
  return withLock([channel.address, channel.namespace, `volume ${name}`], work);
}

/** Makes a volume that is not there, owned by the user. False when it is. */
export async function makeVolume(context: SessionContext, name: string, { uid, gid }: OciUser): Promise<boolean> {
  const path = nameVolume(context, name);
  const data = nameData(context, name);
  const isThere = (await stat(data).catch(ignoreAbsent)) !== undefined;
  if (isThere) return false;
  try {
    await makeDirectory(path);
    // In one step: whoever finds it finds it whole.
    const fresh = await mkdtemp(join(path, 'new-'));
    await chmod(fresh, 0o755);
    await chown(fresh, uid, gid);
    await rename(fresh, data);
    return true;
  } catch (cause) {
    throw describeFileFailure(`volume ${name} cannot be made`, cause);
  }
}

/**
 * For a session whose record is there: whoever removes volumes looks at the records while it has the lock, so that a
 * volume is either seen to be in use or gone before it is taken.
 */
export async function takeVolumes(context: SessionContext, names: readonly string[], user: OciUser): Promise<void> {
  for (const name of names) {
    await withVolume(context, name, async () => {
      await makeVolume(context, name, user);
      await noteUse(context, [name]);
    });
  }
}

/** Dates the last use of volumes to now; of one that is not there is nothing to say. */
export async function noteUse(context: SessionContext, names: readonly string[] = []): Promise<void> {
  const now = new Date();
  for (const name of names) await utimes(nameVolume(context, name), now, now).catch(ignoreAbsent);
}
