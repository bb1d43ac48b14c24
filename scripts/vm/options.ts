import { parseArgs } from 'node:util';
import { SUITES } from './suites.js';

export interface VmOptions {
  /** Gives a shell in the guest when the tests are over. */
  readonly keep: boolean;
  /** For the guest, in ms. */
  readonly deadlineMs: number;
  /** Of vitest: files or parts of their names, projects. */
  readonly vitest: readonly string[];
}

export const USAGE = `usage: npm run test:vm -- [--keep] [--minutes N] [ARGUMENT OF vitest...]

Runs end-to-end tests in a virtual machine that has cgroup v2 and AppArmor: without files those of scripts/vm/suites.ts,
without --project on every generation of containerd.

  --keep        a shell in the guest after the tests; its end turns the machine off
  --minutes N   kill the guest after so many (default 15; with --keep a day)`;

/** Throws with what was wrong. Options of vitest come after \`--\` or are written as \`--project=containerd-2.1\`. */
export function parseOptions(argv: readonly string[]): VmOptions {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      keep: { type: 'boolean', default: false },
      minutes: { type: 'string' },
      project: { type: 'string', multiple: true, default: [] },
      'test-name-pattern': { type: 'string', short: 't' },
    },
  });
  const minutes = Number(values.minutes ?? (values.keep ? 24 * 60 : 15));
  if (!(minutes > 0)) throw new Error(`--minutes ${values.minutes}: expected a number above 0`);
  const name = values['test-name-pattern'];
  return {
    keep: values.keep,
    deadlineMs: minutes * 60_000,
    vitest: [
      ...(values.project.length > 0 ? values.project : ['containerd-*']).map((project) => `--project=${project}`),
      ...(name === undefined ? [] : ['-t', name]),
      ...(positionals.length > 0 ? positionals : SUITES),
    ],
  };
}
