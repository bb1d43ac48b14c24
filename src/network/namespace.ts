import { mkdir, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ignoreAbsent } from '../core/absent.js';
import { findTool, runTool, type Tool } from './tools.js';

/** Magic number of the file system of namespaces (statfs(2)). */
const NSFS = 0x6e736673;

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

/**
 * Makes the namespace, with loopback up and what else ip-batch(8) is told to make there; one that is there already is taken
 * as it is.
 */
export async function createNamespace(directory: string, batch: readonly string[] = []): Promise<NetworkNamespace> {
  const path = nameNamespace(directory);
  const namespace = { path, remove: () => removeNamespace(directory) };
  if (await isNamespace(path)) return namespace;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  // A mount point (unshare(1), "--net=file").
  await writeFile(path, '', { mode: 0o400 });
  const input = ['link set lo up', ...batch].map((line) => `${line}\n`).join('');
  await runTool('unshare', [`--net=${path}`, findTool('ip'), '-batch', '-'], input);
  return namespace;
}

/** Runs a program in a namespace that is pinned; resolves with the lines that it printed. */
export function runInside(path: string, tool: Tool, args: readonly string[], input?: string): Promise<string[]> {
  return runTool('nsenter', [`--net=${path}`, findTool(tool), ...args], input);
}

/** Pins the namespace that a process is in, instead of one that was made before; what was pinned is given back. */
export async function adoptNamespace(directory: string, pid: number): Promise<NetworkNamespace> {
  await removeNamespace(directory);
  const path = nameNamespace(directory);
  await writeFile(path, '', { mode: 0o400 });
  await runTool('mount', ['--bind', `/proc/${pid}/ns/net`, path]);
  return { path, remove: () => removeNamespace(directory) };
}

/** Gives it back; may be repeated. */
export async function removeNamespace(directory: string): Promise<void> {
  const path = nameNamespace(directory);
  // A process that was killed may have mounted it twice.
  while (await isNamespace(path)) {
    await runTool('umount', ['--', path]).catch(async (error: unknown) => {
      // Another process of ours was faster.
      if (await isNamespace(path)) throw error;
    });
  }
  await rm(path, { force: true });
}

/** Whether a namespace is pinned there. */
export async function isNamespace(path: string): Promise<boolean> {
  return (await statfs(path).catch(ignoreAbsent))?.type === NSFS;
}
