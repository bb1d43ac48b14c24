import { constants } from 'node:fs';
import { lstat, open } from 'node:fs/promises';
import { join } from 'node:path';
import { ignoreAbsent } from '../core/absent.js';
import type { Mount } from '../generated/github.com/containerd/containerd/api/types/mount.js';
import type { OciUser } from '../spec/types.js';
import { resolveUser, type UserFiles } from '../spec/user.js';

const FILE_BYTES = 1024 * 1024;

const KNOWN_IMAGES = 16;

/** The files of the images that were used last: layers never change under one chain id. */
export class UserFilesCache {
  readonly #known = new Map<string, UserFiles>();

  get(chainId: string): UserFiles | undefined {
    return this.#known.get(chainId);
  }

  set(chainId: string, files: UserFiles): void {
    this.#known.set(chainId, files);
    const [oldest] = this.#known.keys();
    if (oldest !== undefined && this.#known.size > KNOWN_IMAGES) this.#known.delete(oldest);
  }
}

/** Resolves users of one session; its image's files are read once, when they are first needed. */
export function cacheUsers(readRootfs: () => Promise<readonly Mount[]>): (user: string) => Promise<OciUser> {
  let files: Promise<UserFiles> | undefined;
  return async (user) => {
    files ??= readRootfs().then(readUserFiles);
    return resolveUser(user, await files);
  };
}

/** Reads the files that name the image's users, from its layers: what a session wrote since does not count. */
export async function readUserFiles(rootfs: readonly Mount[]): Promise<UserFiles> {
  const layers = listLayers(rootfs);
  const [passwd, group] = await Promise.all([readFromLayers(layers, 'passwd'), readFromLayers(layers, 'group')]);
  return { passwd, group };
}

/** Directories of the root file system's layers on this host, the uppermost first, without the writable one. */
function listLayers([mount]: readonly Mount[]): string[] {
  if (mount?.type === 'bind') return [mount.source];
  const lower = mount?.options.find((option) => option.startsWith('lowerdir='));
  return lower?.slice('lowerdir='.length).split(':') ?? [];
}

async function readFromLayers(layers: readonly string[], name: string): Promise<string> {
  for (const layer of layers) {
    const directory = await lstat(join(layer, 'etc')).catch(ignoreAbsent);
    if (directory === undefined) continue;
    // A link could lead out of the layer into the host; a device number of 0 is overlayfs's word for "deleted".
    if (!directory.isDirectory()) return '';
    const path = join(layer, 'etc', name);
    const file = await lstat(path).catch(ignoreAbsent);
    if (file === undefined) continue;
    return file.isFile() && file.size <= FILE_BYTES ? readText(path) : '';
  }
  return '';
}

async function readText(path: string): Promise<string> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}
