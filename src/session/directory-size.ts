import { lstat, opendir } from 'node:fs/promises';
import { join } from 'node:path';
import { ignoreAbsent } from '../core/absent.js';

/** As stat(2) counts. */
const BLOCK_BYTES = 512;

/** What a directory takes on disk with all that is in it. A file of several names counts once; links are not followed. */
export async function measureDirectory(path: string): Promise<number> {
  const seen = new Set<string>();
  let bytes = 0;
  const pending = [path];
  for (let current = pending.pop(); current !== undefined; current = pending.pop()) {
    const stats = await lstat(current).catch(ignoreAbsent);
    if (stats === undefined || (stats.nlink > 1 && !stats.isDirectory() && seen.has(`${stats.dev}:${stats.ino}`)))
      continue;
    seen.add(`${stats.dev}:${stats.ino}`);
    bytes += stats.blocks * BLOCK_BYTES;
    if (!stats.isDirectory()) continue;
    const directory = await opendir(current).catch(ignoreAbsent);
    if (directory === undefined) continue;
    for await (const { name } of directory) pending.push(join(current, name));
  }
  return bytes;
}
