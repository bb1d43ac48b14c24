import type { OciIdMapping, OciSpec } from '../../spec/types.js';
import { readOptional } from '../proc.js';
import { type Check, check } from './check.js';

/** Without mappings of its own a session has this process's ids. */
export function checkIdMaps({ linux }: OciSpec, pid: number): Check[] {
  return (['uid', 'gid'] as const).map((kind) => {
    const field = `${kind}Mappings` as const;
    const expected = linux[field] ?? readIdMap('self', kind);
    return check(`linux.${field}`, expected, readIdMap(pid, kind), `/proc/${pid}/${kind}_map`);
  });
}

/** Ids of the process's user namespace, as this one sees them (user_namespaces(7)). */
export function readIdMap(pid: number | 'self', kind: 'uid' | 'gid'): OciIdMapping[] | undefined {
  const text = readOptional(`/proc/${pid}/${kind}_map`);
  return text
    ?.split('\n')
    .filter(Boolean)
    .map((line) => {
      const [containerID = 0, hostID = 0, size = 0] = line.trim().split(/\s+/).map(Number);
      return { containerID, hostID, size };
    });
}

/** The id outside; undefined for one that the map does not have. */
export function mapId(id: number, map: readonly OciIdMapping[] = []): number | undefined {
  const range = map.find(({ containerID, size }) => id >= containerID && id < containerID + size);
  return range && range.hostID + id - range.containerID;
}
