/** `npm run bench`: measures us and our peers side by side. See docs/benchmarks.md. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { layGround } from './ground.js';
import { readMachine } from './machine.js';
import { Course } from './measure.js';
import { Readings } from './metrics.js';
import { type BenchOptions, parseOptions } from './options.js';
import { FULL, QUICK } from './plan.js';
import { renderPlot } from './plot.js';
import { renderReport } from './report.js';
import type { Result } from './result.js';
import { callRoster } from './roster.js';
import { summarize, summarizeHolds } from './summary.js';
import { judge } from './verdicts.js';

const undos: (() => unknown)[] = [];
const defer = (undo: () => unknown) => undos.unshift(undo);
const interrupt = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    tell(`${signal}: clearing up`);
    interrupt.abort(new Error(`interrupted by ${signal}`));
  });
}

try {
  const options = parseOptions(process.argv.slice(2));
  const result = await measure(options, interrupt.signal);
  console.log(renderReport(result));
  store(result, options.out ?? fileURLToPath(new URL('./results', import.meta.url)));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
} finally {
  for (const undo of undos) {
    try {
      await undo();
    } catch (error) {
      // The rest is cleared all the same.
      console.error(error);
      process.exitCode = 1;
    }
  }
}

async function measure(options: BenchOptions, signal: AbortSignal): Promise<Result> {
  const started = Date.now();
  const plan = options.quick ? QUICK : FULL;
  const machine = await readMachine();
  const ground = await layGround(options.generation, defer);
  const roster = await callRoster(options.peers, ground, defer);
  const { peers, skipped, spec } = roster;
  for (const { name, reason } of skipped) tell(`${name} is skipped: ${reason}`);
  tell(`peers: ${peers.map(({ name }) => name).join(', ')}`);
  const readings = new Readings();
  const course = new Course(roster, plan, { readings, signal, tell });
  for (const phase of options.only) {
    signal.throwIfAborted();
    await course.run(phase);
  }
  const metrics = summarize(readings);
  const holds = summarizeHolds(readings);
  return {
    date: new Date(started).toISOString(),
    mode: options.quick ? 'quick' : 'full',
    seconds: (Date.now() - started) / 1000,
    phases: options.only,
    plan,
    machine,
    containerd: ground.daemon.version,
    spec,
    peers: peers.map(({ name, version }) => ({ name, version })),
    skipped,
    metrics,
    holds,
    verdicts: judge(metrics, holds),
    samples: readings.samples,
  };
}

function store(result: Result, directory: string): void {
  mkdirSync(directory, { recursive: true });
  const base = join(directory, result.date.slice(0, 16).replaceAll(':', ''));
  writeFileSync(`${base}.json`, `${JSON.stringify(result, roundNumber, 1)}\n`);
  writeFileSync(`${base}.svg`, renderPlot(result));
  tell(`wrote ${base}.json and .svg`);
}

/** A microsecond is finer than any of the clocks. */
function roundNumber(_key: string, value: unknown): unknown {
  return typeof value === 'number' ? Number(value.toFixed(3)) : value;
}

function tell(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}
