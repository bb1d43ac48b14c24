import { mkdir, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DriverError } from '../core/error.js';
import { findProgram, runProgram } from '../core/program.js';

/** Magic number of the file system of namespaces (statfs(2)). */
const NSFS = 0x6e736673;
/** Of programs that make or remove a namespace, in ms; each takes some ten. */
const RUN_MS = 10_000;

/** A network namespace that lives on without any process, for a runtime to be given by path. */
export interface NetworkNamespace {
  path: string;
  /** May be repeated. The kernel removes the namespace, with the interfaces in it, when no process is in it any more. */
  remove(): Promise<void>;
}

/** Where the namespace of a session is pinned; the directory is the session's own. */
export function nameNamespace(directory: string): string {
  return join(directory, 'netns');
}

/** Makes the namespace, with loopback up and nothing else in it; one that is there already is taken as it is. */
export async function createNamespace(directory: string): Promise<NetworkNamespace> {
  const path = nameNamespace(directory);
  const namespace = { path, remove: () => removeNamespace(directory) };
  if (await isNamespace(path)) return namespace;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  // A mount point (unshare(1), "--net=file").
  await writeFile(path, '', { mode: 0o400 });
  const arguments_ = [`--net=${path}`, findTool('ip'), 'link', 'set', 'lo', 'up'];
  await runTool('unshare', arguments_, 'make network namespace');
  return namespace;
}

async function removeNamespace(directory: string): Promise<void> {
  const path = nameNamespace(directory);
  // A process that was killed may have mounted it twice.
  while (await isNamespace(path)) {
    await runTool('umount', ['--', path], 'remove network namespace').catch(async (error: unknown) => {
      // Another process of ours was faster.
      if (await isNamespace(path)) throw error;
    });
  }
  await rm(path, { force: true });
}

/** Whether a namespace is pinned there. */
export async function isNamespace(path: string): Promise<boolean> {
  try {
    return (await statfs(path)).type === NSFS;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

async function runTool(name: string, args: readonly string[], operation: string): Promise<void> {
  await runProgram(findTool(name), args, { operation, signal: AbortSignal.timeout(RUN_MS) });
}

const sbin = ['/usr/sbin', '/sbin'];
const toolsRemedy = 'install util-linux and iproute2';

/** Programs that namespaces need and this host does not have. */
export function listMissingTools(): string[] {
  return ['unshare', 'ip', 'umount'].filter((name) => findProgram(name, sbin) === undefined);
}

/** Of util-linux or iproute2. */
function findTool(name: string): string {
  const found = findProgram(name, sbin);
  if (found !== undefined) return found;
  const message = `network namespaces need ${name}, which is not on this host: ${toolsRemedy}`;
  throw new DriverError('failed-precondition', message, { operation: 'network', remedy: toolsRemedy });
}
