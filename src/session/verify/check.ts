import { isDeepStrictEqual } from 'node:util';

/** One thing that a session's spec says, and what the kernel says of it. */
export interface Check {
  /** Path in the OCI document, such as `linux.resources.memory.limit` or `mounts./tmp`. */
  field: string;
  /** What the spec says. */
  expected: unknown;
  /** Undefined when it could not be read, which is never `ok`. */
  observed: unknown;
  /** The file of the kernel that was read, or why it could not be. */
  source: string;
  /** They are the same, or mean the same. */
  ok: boolean;
  /** Nothing on this host knows it, only the guest of a virtual machine, or the runtime. */
  unverifiable?: true;
}

/** What `session.verify()` found. */
export interface Attestation {
  /** Every check is: all of the spec that can be seen from the host was read back, and is as the spec says. */
  ok: boolean;
  /** One for each field. */
  checks: Check[];
}

/** Both sides must be the same. */
export function check(field: string, expected: unknown, observed: unknown, source: string): Check {
  return judge(field, expected, observed, source, isDeepStrictEqual(expected, observed));
}

/** For what may differ from the words of `expected` and be right all the same. */
export function judge(field: string, expected: unknown, observed: unknown, source: string, ok: boolean): Check {
  return { field, expected, observed, source, ok: observed !== undefined && ok };
}
