import { DriverError } from '../core/error.js';
import { type Bind, buildBind, buildInitMount, DOOR_PATH, INIT_PATH, STDIO } from './mounts.js';
import { hidesProcesses } from './runtime.js';
import type { OciSpec } from './types.js';

/** How a supervisor is reached: by the socket that it makes at its door, or over the streams it is started with. */
export type SupervisorPlace = typeof DOOR_PATH | typeof STDIO;

/** A socket is a file of the host's, behind which a guest finds nobody. */
export function placeSupervisor({ runtime }: { runtime: string }): SupervisorPlace {
  return hidesProcesses({ runtime }) ? STDIO : DOOR_PATH;
}

/** The first process of a session: the host's init, or the supervisor, which has a place. */
export interface InitChoice {
  /** Of the program, on the host. */
  path: string;
  place?: SupervisorPlace;
  /** Where the supervisor makes its socket. */
  door?: Bind | undefined;
}

/** Throws `failed-precondition` where this host has none. */
export function requireInit(path: string | undefined): string {
  if (path !== undefined) return path;
  throw new DriverError('failed-precondition', 'no static init was found on this host: install catatonit');
}

/** What the init is started with. */
export function buildInitArguments(command: readonly string[] | undefined, place?: SupervisorPlace): string[] {
  const main = command === undefined ? [] : ['--', ...command];
  // A session without a command needs nothing of its image: -P only waits and reaps.
  const wait = command === undefined ? ['-P'] : [];
  return [INIT_PATH, ...(place === undefined ? wait : [place]), ...main];
}

/** The command that a session's document was built with; empty where it only keeps itself alive. */
export function listCommand({ process }: OciSpec): string[] {
  const separator = process.args.indexOf('--');
  return separator === -1 ? [] : process.args.slice(separator + 1);
}

/** Where the init of a session's document is on the host. */
export function findInitSource({ mounts }: OciSpec): string | undefined {
  return mounts.find(({ destination }) => destination === INIT_PATH)?.source;
}

/** The same session's document with another init. */
export function replaceInit(spec: OciSpec, { path, place, door }: InitChoice): OciSpec {
  const command = listCommand(spec);
  const args = buildInitArguments(command.length === 0 ? undefined : command, place);
  const others = spec.mounts.filter(({ destination }) => ![INIT_PATH, DOOR_PATH].includes(destination));
  const doors = door === undefined ? [] : [buildBind(door)];
  return {
    ...spec,
    process: { ...spec.process, args },
    mounts: [...others, ...doors, buildInitMount(path)],
  };
}
