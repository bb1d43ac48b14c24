import { constants } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { CapabilityMismatchError, createInputError } from '../core/error.js';
import type { ResolvedPolicy } from '../policy/types.js';
import { APPARMOR_PROFILE } from '../spec/apparmor.js';
import { parseSeccomp, SECCOMP_BYTES } from '../spec/seccomp-file.js';
import type { OciSeccomp } from '../spec/types.js';

const APPARMOR_PROFILES = '/sys/kernel/security/apparmor/profiles';

/**
 * What a policy names and this host has to have, read before anything is created: the seccomp profile of a file, which is
 * returned, and the profile of AppArmor.
 */
export async function readConfinement({ seccomp, apparmor }: ResolvedPolicy): Promise<OciSeccomp | undefined> {
  if (apparmor !== undefined) checkLoaded(apparmor, await readLoaded(apparmor));
  return typeof seccomp === 'object' ? parseSeccomp(await readProfile(seccomp.path), seccomp.path) : undefined;
}

/** `loaded` is a line for each profile: its name and its mode. One that only complains confines nothing. */
export function checkLoaded(name: string, loaded: string): void {
  const modes = new Map(
    loaded.split('\n').map((line) => [line.replace(/ \(\w+\)$/, ''), line.match(/\((\w+)\)$/)?.[1]]),
  );
  const mode = modes.get(name);
  if (mode === 'enforce') return;
  const enforced = [...modes.keys()].filter((key) => modes.get(key) === 'enforce');
  const problem = mode === undefined ? '' : `, and not in mode ${mode}`;
  const own = name === APPARMOR_PROFILE && mode === undefined ? ' (cadre-containerd apparmor load loads this one)' : '';
  const expected = `a profile that is loaded and enforced on this host${problem}${own}: ${enforced.join(', ') || 'there is none'}`;
  throw new CapabilityMismatchError('containerd', [{ path: 'apparmor', value: name, expected }]);
}

async function readLoaded(name: string): Promise<string> {
  try {
    return await readFile(APPARMOR_PROFILES, 'utf8');
  } catch (error) {
    const expected = `nothing, as ${APPARMOR_PROFILES} cannot be read here (${(error as NodeJS.ErrnoException).code})`;
    throw new CapabilityMismatchError('containerd', [{ path: 'apparmor', value: name, expected }]);
  }
}

async function readProfile(path: string): Promise<string> {
  const refuse = (expected: string) => createInputError('policy', [{ path: 'seccomp.path', value: path, expected }]);
  // A FIFO of that name would not open before someone writes to it.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: NodeJS.ErrnoException) => {
    throw refuse(`a file that can be read, and not ${error.code}`);
  });
  try {
    const stat = await file.stat();
    if (!stat.isFile() || stat.size > SECCOMP_BYTES) throw refuse(`a regular file of at most ${SECCOMP_BYTES} bytes`);
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}
