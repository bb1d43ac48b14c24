/** What the guest left on its third disk, and what that means. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

export interface Results {
  /** Exit status of vitest; undefined when the guest did not come that far. */
  readonly status: number | undefined;
  readonly passed: number;
  readonly failed: number;
  /** Which failed and of what. */
  readonly failures: readonly string[];
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
}

/** Copies them from the disk, which is not mounted: that may be read while nobody answers for its state. */
export function readResults(disk: string, directory: string): Results {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  execFileSync('debugfs', ['-R', `rdump / ${directory}`, disk], { stdio: 'ignore' });
  const read = (name: string) => (existsSync(join(directory, name)) ? readFileSync(join(directory, name), 'utf8') : '');
  const runs = read('summary')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Results);
  const sum = (key: 'passed' | 'failed') => runs.reduce((total, run) => total + run[key], 0);
  const status = read('status').trim();
  return {
    status: /^\d+$/.test(status) ? Number(status) : undefined,
    passed: sum('passed'),
    failed: sum('failed'),
    failures: runs.flatMap(({ failures }) => failures),
    skipped: runs.flatMap(({ skipped }) => skipped),
  };
}

/** Why what ran in the guest is no good; empty when it is. */
export function judgeStatus({ status }: Pick<Results, 'status'>): string[] {
  if (status === undefined) return ['the guest did not come to the end of its tests'];
  return status === 0 ? [] : [`the tests ended with ${status}`];
}

/** The same of vitest. A skip for want of what the guest is there to have is a failure. */
export function judge({ status, passed, failed, skipped }: Results): string[] {
  const lacking = skipped.filter(({ reason }) => reason.startsWith('needs '));
  return [
    ...judgeStatus({ status }),
    ...(failed > 0 ? [`${failed} tests failed`] : []),
    ...(status === 0 && passed === 0 ? ['no test passed'] : []),
    ...lacking.map(({ name, reason }) => `skipped, though this is what the guest is for: ${name}: ${reason}`),
  ];
}
