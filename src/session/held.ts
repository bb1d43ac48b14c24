import { lstat, realpath, rmdir, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ignoreAbsent, listNames } from '../core/absent.js';
import { DriverError } from '../core/error.js';
import { runTool } from '../network/tools.js';
import { classifyRuntime } from '../policy/runtimes.js';
import type { SessionContext } from './context.js';
import { findDaemon } from './daemon.js';
import { makeDirectory } from './directory.js';
import { listMounts } from './mount-table.js';
import type { Pin } from './pins.js';
import type { SessionRecord } from './record.js';

// What a shim of Kata has mounted cannot be seen, and so not be compared. It is given a source that nobody can swap: a
// mount of what is held, at a place that root alone reaches, for as long as it makes the session.

/** Beside the session's directory and not in it: that is removed with all that is in it. */
const PREFIX = 'held.';

/** Which session a directory of the state belongs to. */
export function readHolder(name: string): string {
  return name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name;
}

/** The record of a session on the runtime that it names, with what stands there for the sources that were asked for. */
export function nameHeld(
  { directory }: Pick<SessionContext, 'directory'>,
  { held: _, ...record }: SessionRecord,
  binds: readonly { source: string; isOwn?: boolean }[],
): SessionRecord {
  const sources = new Set(binds.filter(({ isOwn = false }) => !isOwn).map(({ source }) => source));
  if (classifyRuntime(record.runtime) !== 'kata' || sources.size === 0) return record;
  const place = (index: number) => join(directory, `${PREFIX}${record.id}`, String(index));
  const held = Object.fromEntries([...sources].map((source, index) => [place(index), source]));
  return { ...record, held };
}

/** Mounts what is held where the record says so, until it is disposed of. Throws `aborted` when it is not what is seen there. */
export async function holdSources(
  context: SessionContext,
  { id, held = {} }: SessionRecord,
  pins: readonly Pin[],
): Promise<AsyncDisposable> {
  const release = () => releaseSources(context, id);
  const places = Object.entries(held);
  if (places.length === 0) return { [Symbol.asyncDispose]: async () => undefined };
  // Of a start that broke off.
  await release();
  try {
    await makeDirectory(join(context.directory, `${PREFIX}${id}`));
    const daemon = await findDaemon(context.channel);
    for (const [place, source] of places) {
      const pin = pins.find((each) => !each.isOwn && each.source === source);
      if (pin === undefined) throw new DriverError('data-loss', `session ${id} has no mount of ${source}`);
      await mountHeld(place, pin);
      const seen = await stat(join(daemon?.root ?? '', place), { bigint: true }).catch(() => undefined);
      if (seen?.dev === pin.device && seen.ino === pin.inode) continue;
      const message = `mount of ${source} at ${pin.target}: containerd does not see it at ${place}`;
      const remedy = 'let this process and containerd share a mount namespace, or the state root be a shared mount';
      throw new DriverError('aborted', message, { operation: 'hold mounts', remedy });
    }
  } catch (error) {
    await release();
    throw error;
  }
  return { [Symbol.asyncDispose]: release };
}

/** As they are: to find the source by its name again would be to find what has the name by now. */
async function mountHeld(place: string, { handle, hasSubmounts }: Pin): Promise<void> {
  if ((await stat(handle)).isDirectory()) await makeDirectory(place);
  else await writeFile(place, '', { mode: 0o600 });
  const kind = hasSubmounts ? '--rbind' : '--bind';
  await runTool('mount', ['--no-canonicalize', kind, '--make-rprivate', handle, place]);
}

/** Gives them back; may be repeated. Nothing is ever removed through them: what is not empty by itself stays. */
export async function releaseSources({ directory }: Pick<SessionContext, 'directory'>, id: string): Promise<void> {
  const held = await realpath(join(directory, `${PREFIX}${id}`)).catch(ignoreAbsent);
  if (held === undefined) return;
  const points = listMounts(held);
  // One that was left shared would take the mounts below its source away with its own.
  for (const point of points) await unlessGone(held, point, () => runTool('mount', ['--make-private', point]));
  for (const point of points) await unlessGone(held, point, () => runTool('umount', ['--', point]));
  for (const name of await listNames(held)) {
    const place = join(held, name);
    const stats = await lstat(place).catch(ignoreAbsent);
    if (stats !== undefined) await (stats.isDirectory() ? rmdir(place) : unlink(place)).catch(ignoreAbsent);
  }
  await rmdir(held).catch(ignoreAbsent);
}

/** Another process of ours may be faster. */
async function unlessGone(held: string, point: string, act: () => Promise<unknown>): Promise<void> {
  try {
    await act();
  } catch (error) {
    if (listMounts(held).includes(point)) throw error;
  }
}
