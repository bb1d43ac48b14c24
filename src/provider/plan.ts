import { createHash, randomBytes } from 'node:crypto';
import { DriverError } from '../core/error.js';
import type { Image } from '../image/image.js';
import type { SessionContext } from '../session/context.js';
import type { CreateRequest } from '../session/create.js';
import { readHostFacts } from '../session/host.js';
import { ID_PREFIX } from '../session/record.js';
import { buildSpec } from '../spec/build.js';
import type { SessionOptions } from './create-options.js';

/** A name's id is the same on one containerd and differs between two: they share runc's state on a host. */
function nameSession(name: string | undefined, uuid: string): string {
  if (name === undefined) return ID_PREFIX + randomBytes(8).toString('hex');
  return `${ID_PREFIX}${name}-${createHash('sha256').update(`${uuid}\0${name}`).digest('hex').slice(0, 8)}`;
}

/** Everything that the creation of a session needs to know, decided before anything is created. */
export function planSession(
  policy: object,
  session: SessionOptions,
  image: Image,
  { context, uuid }: { context: SessionContext; uuid: string },
): CreateRequest {
  const host = readHostFacts();
  if (host.initPath === undefined) throw new DriverError('failed-precondition', 'no init');
  const id = nameSession(session.name, uuid);
  const { name, command, env = {}, metadata = {}, ttlMs, signal } = session;
  const spec = buildSpec({
    id,
    initPath: host.initPath,
    cgroupsPath: `/${context.channel.namespace}/${id}`,
    command,
    env,
  });
  const createdAt = new Date();
  return {
    image,
    spec,
    signal,
    record: {
      id,
      ...(name === undefined ? {} : { name }),
      owner: context.owner,
      image: image.name,
      runtime: 'io.containerd.runc.v2',
      snapshotter: context.snapshotter,
      createdAt,
      ...(ttlMs === undefined ? {} : { expiresAt: new Date(createdAt.getTime() + ttlMs) }),
      metadata,
      hasCommand: command !== undefined,
    },
  };
}
