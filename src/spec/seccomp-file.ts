import { createInputError, type Fault } from '../core/error.js';
import { type Findings, hide } from '../policy/rule.js';
import { list, oneOf, pattern, shape, text, whole } from '../policy/schema.js';
import type { OciSeccomp } from './types.js';

/** Docker's profile of some 800 names has 14 KiB. */
export const SECCOMP_BYTES = 1024 * 1024;

const MAX_ERRNO = 4095;
const action = oneOf(
  ...['ALLOW', 'ERRNO', 'KILL', 'KILL_PROCESS', 'KILL_THREAD', 'LOG', 'TRAP'].map((name) => `SCMP_ACT_${name}`),
);
const uint64 = whole(0, Number.MAX_SAFE_INTEGER);
const compare = oneOf(...['NE', 'LT', 'LE', 'EQ', 'GE', 'GT', 'MASKED_EQ'].map((name) => `SCMP_CMP_${name}`));

const rule = shape(
  {
    names: list(pattern('^[a-z0-9_]{1,64}$', 'the name of a system call')),
    action,
    errnoRet: whole(1, MAX_ERRNO),
    args: list(shape({ index: whole(0, 5), value: uint64, valueTwo: uint64, op: compare }, ['index', 'value', 'op'])),
  },
  ['names', 'action'],
);

/**
 * What the OCI runtime specification has under `linux.seccomp` (config-linux.md). Not taken: SCMP_ACT_TRACE, which waits
 * for a tracer, and SCMP_ACT_NOTIFY with `listenerPath`, which ask a program on the host that no session has.
 */
const profile = shape(
  {
    defaultAction: action,
    defaultErrnoRet: whole(1, MAX_ERRNO),
    architectures: list(pattern('^SCMP_ARCH_[A-Z0-9_]+$', 'a name such as SCMP_ARCH_X86_64')),
    flags: list(oneOf('SECCOMP_FILTER_FLAG_TSYNC', 'SECCOMP_FILTER_FLAG_LOG', 'SECCOMP_FILTER_FLAG_SPEC_ALLOW')),
    syscalls: list(rule),
    comment: text(),
  },
  ['defaultAction', 'architectures'],
);

/**
 * Reads a profile, every fault at once. `path` is the file's, for the message. No value is in it: a policy may name any
 * file of the host, and would be told what it holds.
 */
export function parseSeccomp(content: string, path: string): OciSeccomp {
  const value = parseJson(content, path);
  const findings: Findings = { unknown: [], wrong: [] };
  hide(profile).check(value, 'seccomp', findings);
  const faults: Fault[] = [...findings.unknown, ...findings.wrong];
  const isOpen = (value as Partial<OciSeccomp>)?.defaultAction === 'SCMP_ACT_ALLOW';
  if (faults.length === 0 && isOpen && !(value as OciSeccomp).syscalls?.length) {
    faults.push({ path: 'seccomp.syscalls', value: [], expected: 'rules, or the profile unconfined' });
  }
  if (faults.length > 0) throw createInputError(`seccomp profile ${path}`, faults);
  return { syscalls: [], ...(value as object) } as unknown as OciSeccomp;
}

function parseJson(content: string, path: string): unknown {
  try {
    return JSON.parse(content);
  } catch {
    throw createInputError('policy', [{ path: 'seccomp.path', value: path, expected: 'a file of JSON' }]);
  }
}
