import { DriverError, hasCode } from '../core/error.js';
import type { Container } from '../generated/github.com/containerd/containerd/api/services/containers/v1/containers.js';
import { ContainersService } from '../generated/github.com/containerd/containerd/api/services/containers/v1/containers.js';
import { unpackJson } from '../rpc/any.js';
import type { Channel } from '../rpc/channel.js';
import type { OciSpec } from '../spec/types.js';
import { ID_PREFIX, LABEL, readRecord, type SessionRecord } from './record.js';

/** A session's record with the container that it was read from. */
export interface Found {
  record: SessionRecord;
  container: Container;
}

/** The OCI document that a session's container has. */
export function readSpec({ id, spec }: Container): OciSpec {
  if (spec === undefined) throw new DriverError('data-loss', `session ${id} has no spec`);
  return unpackJson(spec) as OciSpec;
}

/** All sessions of the namespace, whoever made them. Other clients' containers are passed over. */
export async function listRecords(channel: Channel): Promise<Found[]> {
  return find(channel, [`labels."${LABEL.owner}"`]);
}

/** Ids of all containers that a session could have, those of other clients included. */
export async function listIds(channel: Channel): Promise<string[]> {
  const { containers } = await channel.unary(ContainersService.list, { filters: [`id~=^${ID_PREFIX}`] });
  return containers.map(({ id }) => id);
}

/** By id or by name. */
export async function findRecord(channel: Channel, idOrName: string): Promise<Found> {
  const found = (await findById(channel, idOrName)) ?? (await getByName(channel, idOrName));
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
    if (hasCode(error, 'not-found', 'invalid-argument')) return undefined;
    throw error;
  }
}

async function getByName(channel: Channel, name: string): Promise<Found | undefined> {
  // The value stands in a quoted string of containerd's filter grammar.
  const [found] = await find(channel, [`labels."${LABEL.name}"==${JSON.stringify(name)}`]);
  return found;
}

async function find(channel: Channel, filters: string[]): Promise<Found[]> {
  const { containers } = await channel.unary(ContainersService.list, { filters });
  return containers.flatMap((container) => toFound(container) ?? []);
}

function toFound(container: Container): Found | undefined {
  const record = readRecord(container);
  return record && { record, container };
}
