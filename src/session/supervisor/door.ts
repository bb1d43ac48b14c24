import { chownSync, existsSync, mkdirSync, readlinkSync, renameSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { DriverError } from '../../core/error.js';
import { isExecutable } from '../../core/program.js';
import { placeSupervisor } from '../../spec/init.js';
import { DOOR_PATH } from '../../spec/mounts.js';
import type { OciUser } from '../../spec/types.js';
import { describeFileFailure } from '../directory.js';
import type { SessionRecord } from '../record.js';
import { describeFailure } from './failure.js';
import type { Link } from './link.js';
import { answer, request } from './protocol.js';

/** For how long the supervisor may take to be there, in ms. */
const OPEN_MS = 10_000;
const POLL_MS = 1;

/** The supervisor for this machine; undefined where the package brings none. */
export function findSupervisor(): string | undefined {
  const path = fileURLToPath(new URL(`../../../native/bin/supervisor-linux-${process.arch}`, import.meta.url));
  return isExecutable(path) ? path : undefined;
}

/**
 * Whether the host has that very file there, as containerd names it by its path. False in a container with files of its own;
 * what cannot be told, as the first process cannot be looked at, is taken to be so.
 */
export function isOnHost(path: string, first = '/proc/1'): boolean {
  try {
    if (readlinkSync('/proc/self/ns/mnt') === readlinkSync(join(first, 'ns/mnt'))) return true;
  } catch {
    return true;
  }
  const [own, hosts] = [path, join(first, 'root', path)].map((each) => statSync(each, { throwIfNoEntry: false }));
  return own?.dev === hosts?.dev && own?.ino === hosts?.ino;
}

/** The supervisor's socket, for root alone. */
export function nameSocket(directory: string): string {
  return join(directory, 'supervisor.sock');
}

/** Where the supervisor makes its socket, seen inside until the session runs. */
export function nameDoor(directory: string): string {
  return join(directory, 'door');
}

/** By calls of a few microseconds each, for which no other thread has to be waited for. */
export function makeDoor(directory: string, { uid, gid }: OciUser): void {
  const door = nameDoor(directory);
  rmSync(nameSocket(directory), { force: true });
  rmSync(door, { recursive: true, force: true });
  try {
    mkdirSync(door, { mode: 0o700 });
    chownSync(door, uid, gid);
  } catch (cause) {
    throw describeFileFailure(`${door} cannot be made`, cause);
  }
}

/** Where there is none, its streams are the way; see relay.ts. */
export function hasDoor(record: Pick<SessionRecord, 'asked' | 'runtime'>): boolean {
  return record.asked.executor === 'supervisor' && placeSupervisor(record) === DOOR_PATH;
}

/**
 * Takes the socket out of the session's sight before anything of the user's runs, and the directory with it, so that
 * nothing inside can ever stand in for the supervisor. To be begun beside the start, which tells of itself later than the
 * supervisor does; an abort gives up.
 */
export async function closeDoor(directory: string, signal: AbortSignal): Promise<void> {
  const door = nameDoor(directory);
  const socket = join(door, 'socket');
  for (const until = Date.now() + OPEN_MS; !existsSync(socket); await sleep(POLL_MS)) {
    if (Date.now() < until && !signal.aborted) continue;
    throw new DriverError('unavailable', `the supervisor was not there after ${OPEN_MS} ms`, { operation: 'start' });
  }
  renameSync(socket, nameSocket(directory));
  rmdirSync(door);
}

/** Starts the session's own command, where it has one, and closes the link. */
export async function beginCommand(link: Link, command: string | undefined): Promise<void> {
  try {
    if (command === undefined) return;
    const [begun] = await link.ask(request.begin, () => true);
    if (begun?.type === answer.failed) throw describeFailure(begun.payload, { execId: '', command });
  } finally {
    link.close();
  }
}
