import { type FileHandle, open, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { createInputError, DriverError, type Fault } from '../core/error.js';
import { isWithin } from '../policy/mounts.js';
import { type Bind, INIT_PATH } from '../spec/mounts.js';
import type { OciSpec } from '../spec/types.js';
import type { SessionContext } from './context.js';
import { listExposures } from './exposure.js';
import { findExposure } from './host-paths.js';
import { listMounts } from './mount-table.js';
import { isInMemory, nameSecrets } from './secrets.js';
import { isVolume } from './volume-directory.js';

/** Opens nothing, only holds it (open(2)). Node has no name for it; it is the same on all its processors. */
const O_PATH = 0o10000000;

/** A mount that was asked for. */
export interface BindRequest {
  /** What names it in a fault, such as `mounts[0].path`. */
  field: string;
  path: string;
  target: string;
  readOnly: boolean;
  /** A place of this library's, which nobody else can name. */
  isOwn?: boolean;
}

/** A source with what tells it from every other. Held open, it keeps its inode number to itself. */
export interface Pin extends Bind {
  field: string;
  isOwn: boolean;
  device: bigint;
  inode: bigint;
  /** Leads to it for as long as it is held, whatever bears its name by then. */
  handle: string;
}

/**
 * The sources of a session's mounts, held open from their check on. Names can come to stand for something else between
 * the check and the mount, which others make by name; a descriptor cannot, so that what was mounted is compared with it.
 */
export class Pins implements AsyncDisposable {
  readonly list: Pin[] = [];
  readonly #handles: FileHandle[] = [];

  /** Resolves with what is wrong with it, or undefined. */
  async add({ field, path, target, readOnly, isOwn = false }: BindRequest): Promise<Fault | undefined> {
    const refuse = (expected: string) => ({ path: field, value: path, expected });
    let handle: FileHandle;
    try {
      handle = await open(path, O_PATH);
    } catch (error) {
      return refuse(`a path that there is on this host (${(error as NodeJS.ErrnoException).code})`);
    }
    this.#handles.push(handle);
    const stats = await handle.stat({ bigint: true });
    // The kernel's own word for where it is: no link is left in it.
    const source = await readlink(`/proc/self/fd/${handle.fd}`);
    if (!stats.isDirectory() && !stats.isFile() && !stats.isSocket()) return refuse('a directory, a file or a socket');
    if (stats.nlink === 0n || !source.startsWith('/')) return refuse('a path that there is on this host');
    const hasSubmounts = listMounts(source).length > 0;
    const { dev: device, ino: inode } = stats;
    const held = `/proc/${process.pid}/fd/${handle.fd}`;
    this.list.push({ field, source, target, readOnly, isOwn, hasSubmounts, device, inode, handle: held });
    return undefined;
  }

  /** Places of this library's, which are there. */
  async addOwn(binds: readonly Bind[]): Promise<void> {
    for (const { source, ...rest } of binds) {
      const fault = await this.add({ ...rest, field: rest.target, path: source, isOwn: true });
      if (fault !== undefined) throw createInputError('mounts', [fault]);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#handles.splice(0).map((handle) => handle.close()));
  }
}

/** Takes hold of the sources that were asked for. Throws `invalid-argument` with every one that cannot be mounted. */
export async function pinSources(context: SessionContext, requests: readonly BindRequest[]): Promise<Pins> {
  const pins = new Pins();
  try {
    const faults: Fault[] = [];
    for (const request of requests) {
      const fault = await pins.add(request);
      if (fault !== undefined) faults.push(fault);
    }
    faults.push(...(await findForbidden(context, pins.list, { warn: true })));
    if (faults.length > 0) throw createInputError('mounts', faults);
    return pins;
  } catch (error) {
    await pins[Symbol.asyncDispose]();
    throw error;
  }
}

/** Takes hold of the sources of a session that is there, which must be where they were when it was created. */
export async function pinAgain(context: SessionContext, id: string, spec: OciSpec): Promise<Pins> {
  const secrets = nameSecrets(join(context.directory, id));
  const requests = listBinds(context, id, spec);
  const pins = new Pins();
  try {
    for (const request of requests) {
      const fault = await pins.add(request);
      const source = pins.list.at(-1)?.source;
      // Of our own roots links may be part, which are the operator's.
      if (fault === undefined && (request.isOwn || source === request.path)) continue;
      const reason = fault?.expected ?? `the same as at its creation, not ${source}`;
      throw refuseStart(`source ${request.path} of ${request.target}: expected ${reason}`);
    }
    if (requests.some(({ path }) => path === secrets) && !(await isInMemory(secrets))) {
      throw refuseStart('its secrets are gone, as the host was restarted');
    }
    const [forbidden] = await findForbidden(context, pins.list);
    if (forbidden !== undefined) throw refuseStart(`source ${forbidden.value}: expected ${forbidden.expected}`);
    return pins;
  } catch (error) {
    await pins[Symbol.asyncDispose]();
    throw error;
  }
}

/** The binds of a session that is there, its own among them. */
export function listBinds(context: SessionContext, id: string, { mounts }: OciSpec): Required<BindRequest>[] {
  const binds = mounts.filter(({ type, destination }) => type === 'bind' && destination !== INIT_PATH);
  return binds.map(({ source, destination, options }) => ({
    field: `mount ${destination}`,
    path: source,
    target: destination,
    readOnly: options.includes('ro'),
    isOwn: isWithin(source, join(context.directory, id)) || isVolume(context, source),
  }));
}

function refuseStart(reason: string): DriverError {
  return new DriverError('failed-precondition', `the session cannot be started: ${reason}`, { operation: 'start' });
}

/** Sources that expose the host, and that the operator has not allowed by their exact path. */
export async function findForbidden(
  context: SessionContext,
  pins: readonly Pin[],
  { warn = false } = {},
): Promise<Fault[]> {
  const asked = pins.filter(({ isOwn }) => !isOwn);
  if (asked.length === 0) return [];
  const exposures = await listExposures(context);
  return asked.flatMap((pin) => {
    const reason = findExposure(pin, exposures);
    if (reason === undefined) return [];
    const expected = `a source that does not expose the host: ${reason}`;
    if (!context.allowHostPaths.includes(pin.source)) return [{ path: pin.field, value: pin.source, expected }];
    if (warn) {
      const message = `${pin.source} is mounted at ${pin.target}, as allowHostPaths says, although ${reason}`;
      process.emitWarning(message, { type: 'HostPathWarning', code: 'CADRE_HOST_PATH' });
    }
    return [];
  });
}
