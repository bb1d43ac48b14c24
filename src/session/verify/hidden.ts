import type { OciSpec } from '../../spec/types.js';
import type { SessionRecord } from '../record.js';
import type { Attestation, Check } from './check.js';
import { checkInterfaces, checkNamespaces } from './namespaces.js';

/**
 * Of a session whose processes are none of this host's: the network namespace that its hypervisor is in, which is the
 * host's, and that without a network nothing leads out of it. All else that the spec says is for the guest, and to read it of the hypervisor would attest another process.
 */
export function verifyHidden(
  spec: OciSpec,
  pid: number,
  { runtime, asked }: Pick<SessionRecord, 'runtime' | 'asked'>,
): Attestation {
  const { process, root, hostname, mounts, linux } = spec;
  const source = `unverifiable: this host does not see inside of a session on ${runtime}`;
  const isGiven = ({ type, path }: { type: string; path?: string }) => type === 'network' && path !== undefined;
  const seen = checkNamespaces({ ...spec, linux: { ...linux, namespaces: linux.namespaces.filter(isGiven) } }, pid);
  if (asked.policy.networkMode === 'none' && seen.length > 0) seen.push(checkInterfaces(pid));
  const said: [field: string, expected: unknown][] = [
    ['process.args', process.args[0]],
    ['process.user', process.user],
    ['process.capabilities', process.capabilities],
    ['process.noNewPrivileges', process.noNewPrivileges],
    ...process.rlimits.map(({ type, ...limit }): [string, unknown] => [`process.rlimits.${type}`, limit]),
    ['root.readonly', root.readonly],
    ['hostname', hostname],
    ...mounts.map(({ destination, options }): [string, unknown] => [`mounts.${destination}`, options]),
    ...linux.namespaces
      .filter((each) => !isGiven(each))
      .map(({ type }): [string, unknown] => [`linux.namespaces.${type}`, 'new']),
    ...Object.entries(linux.resources).map(([name, limit]): [string, unknown] => [`linux.resources.${name}`, limit]),
    ['linux.seccomp', linux.seccomp === undefined ? 'disabled' : 'filter'],
    ['linux.sysctl', linux.sysctl ?? {}],
  ];
  const hidden = said.map(
    ([field, expected]): Check => ({ field, expected, observed: undefined, source, ok: false, unverifiable: true }),
  );
  return { ok: false, checks: [...seen, ...hidden] };
}
