import { DriverError, hasCode } from '../core/error.js';
import {
  Container,
  ContainersService,
} from '../generated/github.com/containerd/containerd/api/services/containers/v1/containers.js';
import { unpackMessage } from '../rpc/any.js';
import type { Channel } from '../rpc/channel.js';
import type { OciSpec } from '../spec/types.js';
import {
  ID_PREFIX,
  LABEL,
  nameSpare,
  readRecord,
  type SessionRecord,
  SPARE,
  SPARE_TYPE,
  unpackSpec,
} from './record.js';

/** A session's record with the container that it was read from. */
export interface Found {
  record: SessionRecord;
  container: Container;
  /** The container is not there, as the session's record is being replaced: its spare has told of it. */
  isSpare: boolean;
}

/** A session whose record is of no form that is known here: a later version's, or a damaged one. */
export interface Unreadable {
  id: string;
  error: unknown;
}

/** The OCI document that a session's container has. */
export function readSpec(container: Container): OciSpec {
  const { id, spec } = container;
  if (spec === undefined) throw new DriverError('data-loss', `session ${id} has no spec`);
  return unpackSpec(spec, readRecord(container) ?? {});
}

/** All sessions of the namespace, whoever made them. Other clients' containers are passed over. */
export async function scanRecords(channel: Channel): Promise<{ found: Found[]; unreadable: Unreadable[] }> {
  return scan(channel, [`labels."${LABEL.owner}"`]);
}

/** The same for who has to know of each: throws `data-loss` for one that cannot be read. */
export async function listRecords(channel: Channel, filter = `labels."${LABEL.owner}"`): Promise<Found[]> {
  return find(channel, [filter]);
}

/** Ids of all containers that a session could have, those of other clients included. */
export async function listIds(channel: Channel): Promise<string[]> {
  const { containers } = await channel.unary(ContainersService.list, { filters: [`id~=^${ID_PREFIX}`] });
  return containers.map(({ id }) => id);
}

/** Ids of the sessions that have a spare. */
export async function listSpares(channel: Channel): Promise<string[]> {
  const prefix = nameSpare('');
  const { containers } = await channel.unary(ContainersService.list, { filters: [`id~=^${prefix}${ID_PREFIX}`] });
  return containers.map(({ id }) => id.slice(prefix.length));
}

/** By id or by name. */
export async function findRecord(channel: Channel, idOrName: string): Promise<Found> {
  const found = (await findById(channel, idOrName)) ?? (await findByName(channel, idOrName));
  if (found !== undefined) return found;
  throw new DriverError('not-found', `no session ${JSON.stringify(idOrName)} in namespace ${channel.namespace}`, {
    operation: 'find session',
  });
}

export async function findById(channel: Channel, id: string): Promise<Found | undefined> {
  try {
    const { container } = await channel.unary(ContainersService.get, { id });
    return container && toFound(container);
  } catch (error) {
    // A name may hold what an id may not.
    if (hasCode(error, 'invalid-argument')) return undefined;
    if (!hasCode(error, 'not-found')) throw error;
  }
  // In one look, as the one may come while the other goes.
  const [found] = await find(channel, [`id==${id}`, `id==${nameSpare(id)}`]);
  return found;
}

export async function findByName(channel: Channel, name: string): Promise<Found | undefined> {
  // The value stands in a quoted string of containerd's filter grammar.
  const [found] = await find(channel, [`labels."${LABEL.name}"==${JSON.stringify(name)}`]);
  return found;
}

async function find(channel: Channel, filters: string[]): Promise<Found[]> {
  const { found, unreadable } = await scan(channel, filters);
  for (const { error } of unreadable) throw error;
  return found;
}

async function scan(channel: Channel, filters: string[]): Promise<{ found: Found[]; unreadable: Unreadable[] }> {
  const { containers } = await channel.unary(ContainersService.list, { filters });
  const sessions: Found[] = [];
  const unreadable: Unreadable[] = [];
  for (const container of containers) {
    try {
      const session = toFound(container);
      if (session !== undefined) sessions.push(session);
    } catch (error) {
      unreadable.push({ id: container.id, error });
    }
  }
  const there = new Set(sessions.filter(({ isSpare }) => !isSpare).map(({ record }) => record.id));
  return { found: sessions.filter(({ isSpare, record }) => !isSpare || !there.has(record.id)), unreadable };
}

function toFound(given: Container): Found | undefined {
  const { [SPARE]: spare } = given.extensions;
  const container = spare === undefined ? given : unpackMessage(SPARE_TYPE, Container, spare);
  const record = readRecord(container);
  return record && { record, container, isSpare: spare !== undefined };
}
