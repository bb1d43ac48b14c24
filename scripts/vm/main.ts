/** `npm run test:vm`, see docs/testing.md. scripts/vm/run.sh has installed and built what this needs. */
import { execFileSync } from 'node:child_process';
import { appendFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { proveKvm, runMachine } from './machine.js';
import { parseOptions, USAGE, type VmOptions } from './options.js';
import { judge, judgeStatus, type Results, readResults } from './results.js';

/** How many of the console's last lines are told of a guest that failed. */
const TAIL = 80;
const started = Date.now();
const interrupt = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => interrupt.abort(new Error(`interrupted by ${signal}`)));
}

function tell(text: string): void {
  console.log(`vm: ${text} (${Math.round((Date.now() - started) / 1000)}s)`);
}

try {
  const options = parse(process.argv.slice(2));
  const work = mkdtempSync(join(tmpdir(), 'cadre-vm-'));
  try {
    await run(options, work);
  } finally {
    rmSync(work, { recursive: true });
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

function parse(argv: string[]): VmOptions {
  try {
    return parseOptions(argv);
  } catch (error) {
    throw new Error(`${(error as Error).message}\n\n${USAGE}`, { cause: error });
  }
}

/** So that `npm test` counts the guest's tests with its own, see test/support/summary-reporter.ts. */
function record({ passed, failed, failures, skipped }: Results): void {
  const path = process.env.TEST_SUMMARY;
  if (!path) return;
  const named = skipped.map(({ name, reason }) => ({ name: `guest ${name}`, reason }));
  const told = failures.map((failure) => `guest ${failure}`);
  appendFileSync(path, `${JSON.stringify({ passed, failed, failures: told, skipped: named })}\n`);
}

async function run({ keep, payload: own, deadlineMs, runs }: VmOptions, work: string): Promise<void> {
  const { signal } = interrupt;
  if (own !== undefined && !existsSync(join(own, 'init')))
    throw new Error(`--payload ${own}: expected a file init in it`);
  const payload = join(work, 'payload.ext4');
  const results = join(work, 'results.ext4');
  const log = join(work, 'console.log');
  const image = execFileSync('bash', ['scripts/vm/image.sh'], { encoding: 'utf8' }).trim();
  tell(`image ${image}`);
  const [program = '', ...args] =
    own === undefined
      ? ['bash', 'scripts/vm/payload.sh', payload, ...runs.flatMap((words) => [...words, '--end'])]
      : ['mke2fs', '-q', '-t', 'ext4', '-d', own, payload, '2G'];
  execFileSync(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  execFileSync('mke2fs', ['-q', '-t', 'ext4', results, '64M'], { stdio: 'ignore' });
  const accelerator = existsSync('/dev/kvm') && (await proveKvm(image, work, signal)) ? 'kvm' : 'tcg';
  const speed = accelerator === 'tcg' ? ', as KVM does not work here: software emulation' : '';
  tell(`booting by ${accelerator}${speed}`);
  // With the factor by which it is slower than the host, see test/support/patience.ts.
  const words = [
    ...(keep ? ['cadre.keep'] : []),
    ...(process.stdout.isTTY ? ['cadre.color'] : []),
    `cadre.slow=${accelerator === 'tcg' ? 8 : 2}`,
  ];
  const machine = { image, payload, results, console: log, accelerator, words, memoryMb: 4096 } as const;
  const failure = await runMachine({ ...machine, interactive: keep, deadlineMs }, signal);

  const directory = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'cadre-containerd/vm/last');
  mkdirSync(directory, { recursive: true });
  const outcome = readResults(results, directory);
  cpSync(log, join(directory, 'console.log'));
  const judged = own === undefined ? judge(outcome) : judgeStatus(outcome);
  const faults = [...(failure === undefined ? [] : [`the guest ${failure}`]), ...judged];
  if (own === undefined) record(outcome);
  if (failure !== undefined || outcome.status === undefined) {
    console.error(`the last of the guest's console:\n${readFileSync(log, 'utf8').split('\n').slice(-TAIL).join('\n')}`);
  }
  const { passed, failed, skipped } = outcome;
  const count = `${passed} passed, ${failed} failed, ${skipped.length} skipped`;
  tell(`${own === undefined ? count : `status ${outcome.status}`} in the guest; logs in ${directory}`);
  if (faults.length > 0) throw new Error(`FAILED in the guest: ${faults.join('\n  ')}`);
}
