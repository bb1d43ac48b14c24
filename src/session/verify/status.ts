import { capabilityNames } from '../../policy/names.js';
import type { OciIdMapping, OciSpec } from '../../spec/types.js';
import { readOptional } from '../proc.js';
import { type Check, check, judge } from './check.js';
import { mapId, readIdMap } from './id-map.js';

/** Capability sets by their line in /proc/PID/status. */
const sets = {
  inheritable: 'CapInh',
  permitted: 'CapPrm',
  effective: 'CapEff',
  bounding: 'CapBnd',
  ambient: 'CapAmb',
} as const;

/** Identity and privileges of a process (/proc/PID/status, proc_pid_status(5)). */
export function checkStatus({ process, linux }: OciSpec, pid: number): Check[] {
  const path = `/proc/${pid}/status`;
  const status = parseStatus(readOptional(path) ?? '');
  const { uid, gid, additionalGids = [] } = process.user;
  const ids = { uid: readIdMap(pid, 'uid'), gid: readIdMap(pid, 'gid') };
  const expectUser = (id: number, map: OciIdMapping[] | undefined) => Array(4).fill(mapId(id, map));
  return [
    check('process.user.uid', expectUser(uid, ids.uid), readIds(status, 'Uid'), `${path} Uid`),
    check('process.user.gid', expectUser(gid, ids.gid), readIds(status, 'Gid'), `${path} Gid`),
    check(
      'process.user.additionalGids',
      sortIds(additionalGids.map((id) => mapId(id, ids.gid))),
      sortIds(readIds(status, 'Groups')),
      `${path} Groups`,
    ),
    ...Object.entries(sets).map(([name, line]) =>
      check(
        `process.capabilities.${name}`,
        [...expectCapabilities(process, name as keyof typeof sets)].sort(),
        readCapabilities(status.get(line)),
        `${path} ${line}`,
      ),
    ),
    check('process.noNewPrivileges', process.noNewPrivileges, readFlag(status.get('NoNewPrivs')), `${path} NoNewPrivs`),
    ...checkSeccomp(linux.seccomp !== undefined, status, path),
  ];
}

/**
 * execve(2) leaves an ordinary user the ambient set alone, see capabilities(7), "Transformation of capabilities". The
 * first process of a session is one that the runtime executed.
 */
function expectCapabilities({ user, capabilities }: OciSpec['process'], set: keyof typeof sets): readonly string[] {
  const isOrdinary = user.uid !== 0 && (set === 'permitted' || set === 'effective');
  return capabilities[isOrdinary ? 'ambient' : set] ?? [];
}

/** A filter that the daemon itself runs under comes on top, and takes away only. */
function checkSeccomp(isFiltered: boolean, status: Map<string, string>, path: string): Check[] {
  const mode = status.get('Seccomp');
  const expected = isFiltered ? 'filter' : 'disabled';
  const observed = mode && ({ 0: 'disabled', 1: 'strict', 2: 'filter' }[mode] ?? mode);
  const checks = [check('linux.seccomp', expected, observed, `${path} Seccomp`)];
  if (!isFiltered) return checks;
  const filters = readNumber(status.get('Seccomp_filters'));
  const ok = filters !== undefined && filters >= 1;
  return [...checks, judge('linux.seccomp.filters', 'at least 1', filters, `${path} Seccomp_filters`, ok)];
}

function parseStatus(text: string): Map<string, string> {
  const lines = text.split('\n').map((line) => line.split(':\t'));
  return new Map(lines.map(([key = '', ...value]) => [key, value.join(':\t').trim()]));
}

function readIds(status: Map<string, string>, line: string): number[] | undefined {
  return status.get(line)?.split(/\s+/).filter(Boolean).map(Number);
}

function sortIds<T extends number | undefined>(ids: T[] | undefined): T[] | undefined {
  return ids?.sort((one, other) => Number(one) - Number(other));
}

function readCapabilities(hex: string | undefined): string[] | undefined {
  if (hex === undefined) return undefined;
  const bits = BigInt(`0x${hex}`);
  const names = Array.from({ length: 64 }, (_, bit) => `CAP_${capabilityNames[bit] ?? bit}`);
  return names.filter((_, bit) => (bits >> BigInt(bit)) & 1n).sort();
}

function readFlag(text: string | undefined): boolean | undefined {
  return text === undefined ? undefined : text === '1';
}

function readNumber(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text);
}
