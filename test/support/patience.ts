import { readFileSync } from 'node:fs';

/**
 * How much slower than an ordinary machine this one is: the one factor for every deadline of the tests. Set by
 * CADRE_TEST_SLOW, for an emulated processor (scripts/vm).
 */
export const SLOWNESS = Number(process.env.CADRE_TEST_SLOW || 1);

/** A deadline of an ordinary machine, in ms, as it is here. */
export function relax(ms: number): number {
  return ms * SLOWNESS;
}

/** As `getconf CLK_TCK` has it: proc_stat(5) counts in these. */
const TICK_MS = 10;

/**
 * From now on tells how long, in ms, the host of this machine has kept a processor of it from running what was ready:
 * nothing that a test measures is to blame for that.
 */
export function watchSteal(): () => number {
  const before = readSteal();
  return () => Math.max(...readSteal().map((ms, index) => ms - (before[index] ?? 0)));
}

/** Of each processor, since the machine's start. */
function readSteal(): number[] {
  const lines = readFileSync('/proc/stat', 'utf8')
    .split('\n')
    .filter((line) => /^cpu\d/.test(line));
  return lines.map((line) => Number(line.split(' ')[8]) * TICK_MS);
}
