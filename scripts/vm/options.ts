import { type ParseArgsConfig, parseArgs } from 'node:util';
import { EVERYWHERE, FURTHER, HOST_WIDE, NEWEST } from './suites.js';

export interface VmOptions {
  /** Gives a shell in the guest when the tests are over. */
  readonly keep: boolean;
  /** For the guest, in ms. */
  readonly deadlineMs: number;
  /** A directory that is the guest's second disk instead of this repository's. */
  readonly payload: string | undefined;
  /** The arguments of each run of vitest; they go side by side. */
  readonly runs: readonly (readonly string[])[];
}

export const USAGE = `usage: npm run test:vm -- [--all] [--keep] [--minutes N] [--project P] [-t PATTERN] [FILE...]
       npm run test:vm -- --payload DIR [--keep] [--minutes N]

Runs end-to-end tests in a virtual machine that has cgroup v2 and AppArmor: without files those of scripts/vm/suites.ts,
and files on every generation of containerd, if not of the given projects.

  --all         all suites that stand on the kernel, on every generation
  --keep        a shell in the guest after the tests; its end turns the machine off
  --minutes N   kill the guest after so many (default 60; 120 with --all; a day with --keep)
  --payload DIR what the guest runs instead: its file init, see docs/testing.md
  --project P, --config FILE, -t PATTERN
                as of vitest`;

const GENERATIONS = 'containerd-*';
/** Of its suites those that hold whatever runs a session, run by crun: see vitest.config.ts. */
const CRUN = 'crun-2.1';
const options = {
  all: { type: 'boolean', default: false },
  keep: { type: 'boolean', default: false },
  minutes: { type: 'string' },
  payload: { type: 'string' },
  config: { type: 'string' },
  project: { type: 'string', multiple: true, default: [] },
  'test-name-pattern': { type: 'string', short: 't' },
} as const satisfies ParseArgsConfig['options'];

/** Throws with what was wrong. */
export function parseOptions(argv: readonly string[]): VmOptions {
  const { values, positionals } = parseArgs({ args: [...argv], allowPositionals: true, options });
  const { all, keep, config, payload, project, minutes = keep ? 24 * 60 : all ? 120 : 60 } = values;
  if (!(Number(minutes) > 0)) throw new Error(`--minutes ${minutes}: expected a number above 0`);
  const name = values['test-name-pattern'];
  const common = [
    ...(config === undefined ? [] : [`--config=${config}`, '--root=.']),
    ...(name === undefined ? [] : ['-t', name]),
  ];
  // Another configuration has other projects.
  const projects = project.length > 0 || config !== undefined ? project : [GENERATIONS];
  const build = (wanted: readonly string[], files: readonly string[]) => [
    ...wanted.map((each) => `--project=${each}`),
    ...common,
    ...files,
  ];
  const isPlain = positionals.length === 0 && project.length === 0 && config === undefined;
  const suites = [...EVERYWHERE, ...NEWEST];
  const given = positionals.length > 0 ? positionals : all ? [...suites, ...HOST_WIDE, ...FURTHER] : suites;
  return {
    keep,
    payload,
    deadlineMs: Number(minutes) * 60_000,
    runs: isPlain
      ? all
        ? [build([GENERATIONS], [...NEWEST, ...HOST_WIDE]), build([GENERATIONS, CRUN], [...EVERYWHERE, ...FURTHER])]
        : [build(['containerd-1.6', 'containerd-1.7'], EVERYWHERE), build(['containerd-2.1'], suites)]
      : [build(projects, given)],
  };
}
