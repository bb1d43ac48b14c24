/** What a figure means nothing without: the machine, its software and how quiet it was. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

export interface MachineFacts {
  readonly cores: number;
  readonly cpu: string;
  readonly memoryGib: number;
  readonly kernel: string;
  readonly cgroups: 'v1' | 'v1 and v2 (hybrid)' | 'v2';
  readonly node: string;
  readonly runc: string;
  /** Of this repository; `+` when files differ from it. */
  readonly commit: string;
  /** Share of the processors that others used in the second before the run. */
  readonly busyBefore: number;
}

export async function readMachine(): Promise<MachineFacts> {
  const processors = cpus();
  return {
    cores: processors.length,
    cpu: processors[0]?.model.trim() ?? 'unknown',
    memoryGib: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    cgroups: findCgroupMode(),
    node: process.version,
    runc: readVersion('runc', ['--version']),
    commit: describeCommit(),
    busyBefore: await measureBusy(),
  };
}

/** The first number with dots that a tool prints of itself. */
export function readVersion(tool: string, args: readonly string[]): string {
  try {
    const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
    const text = execFileSync(tool, args, { encoding: 'utf8', env, stdio: ['ignore', 'pipe', 'ignore'] });
    return text.match(/\d+\.\d+[\w.~+-]*/)?.[0] ?? text.trim();
  } catch {
    return 'unknown';
  }
}

function findCgroupMode(): MachineFacts['cgroups'] {
  if (existsSync('/sys/fs/cgroup/cgroup.controllers')) return 'v2';
  return existsSync('/sys/fs/cgroup/unified') ? 'v1 and v2 (hybrid)' : 'v1';
}

function describeCommit(): string {
  try {
    const git = (...args: string[]) =>
      execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    const changed = git('status', '--porcelain', '--', 'src', 'bench').trim() !== '';
    return git('rev-parse', '--short', 'HEAD').trim() + (changed ? '+' : '');
  } catch {
    return 'unknown';
  }
}

async function measureBusy(): Promise<number> {
  const before = readTicks();
  await sleep(1_000);
  const after = readTicks();
  return 1 - (after.idle - before.idle) / (after.all - before.all);
}

function readTicks(): { idle: number; all: number } {
  const [, ...ticks] = (readFileSync('/proc/stat', 'utf8').split('\n')[0] ?? '').split(/\s+/).map(Number);
  return { idle: (ticks[3] ?? 0) + (ticks[4] ?? 0), all: ticks.reduce((sum, tick) => sum + tick, 0) };
}
