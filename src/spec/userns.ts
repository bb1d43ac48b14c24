import type { Fault } from '../core/error.js';
import type { ResolvedPolicy } from '../policy/types.js';
import type { OciIdMapping, OciUser } from './types.js';

type Range = NonNullable<ResolvedPolicy['userns']>;

/** `linux.uidMappings` and `gidMappings` (runtime-spec, config-linux.md, "User namespace mappings"). */
export function buildIdMappings({ uid, size }: Range): Record<'uidMappings' | 'gidMappings', OciIdMapping[]> {
  const mappings = [{ containerID: 0, hostID: uid, size }];
  return { uidMappings: mappings, gidMappings: mappings };
}

/** Who a user of the session is on the host. */
export function mapUser({ uid, gid }: OciUser, range: Range | undefined): OciUser {
  const first = range?.uid ?? 0;
  return { uid: first + uid, gid: first + gid };
}

/** An id that the user namespace does not have can be no process's. */
export function checkMapped({ uid, gid, additionalGids = [] }: OciUser, size = Number.POSITIVE_INFINITY): Fault[] {
  const ids = [uid, gid, ...additionalGids];
  return ids
    .filter((id) => id >= size)
    .map((value) => ({ path: 'user', value, expected: `an id below ${size}, which userns maps` }));
}
