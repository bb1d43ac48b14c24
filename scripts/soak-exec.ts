// What `npm run soak:exec` runs: execs, one after the other in one session, on a daemon of its own.
//
//   npm run soak:exec -- [--executor task|supervisor] [COUNT] [GENERATION...]
//
// Every byte, code and descriptor is checked, and the memory of what starts them; ends with 1 when one is wrong.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ContainerdProvider } from '../src/index.js';
import { findShim } from '../test/session/shim.js';
import { BUSYBOX_REFERENCE, buildDockerArchive } from '../test/support/busybox.js';
import { GENERATIONS, type Generation } from '../test/support/containerd-binary.js';
import { nameNamespace, startDaemon } from '../test/support/daemon.js';
import { countDescriptors } from '../test/support/leaks.js';

/** Both may hold a call that is under way. */
const SHIM_DRIFT = 2;
/** In KiB: what allocators keep. */
const MEMORY_DRIFT = { ours: 64 * 1024, inside: 256 };

async function soak(generation: Generation, count: number, executor: 'task' | 'supervisor'): Promise<boolean> {
  const daemon = await startDaemon({ generation });
  try {
    const archive = join(daemon.root, 'docker.tar');
    writeFileSync(archive, buildDockerArchive());
    const options = { image: BUSYBOX_REFERENCE, address: daemon.address, namespace: nameNamespace() };
    await using provider = new ContainerdProvider({ ...options, stateRoot: join(daemon.root, 'sessions') });
    await provider.importImage(archive);
    await using session = await provider.createSession({ networkMode: 'none', executor });
    const shim = findShim(session.sessionId);
    const init = Number(readFileSync(`/proc/${shim}/task/${shim}/children`, 'utf8').trim().split(' ')[0]);
    const run = (i: number) => {
      const args = ['-c', 'cat; echo err$1 >&2; exit $2', 'sh', String(i), String(i % 256)];
      return session.exec('sh', args, { input: `in${i}` });
    };
    // What is made once is made, and compiled code is there.
    for (let i = 0; i < Math.min(count, 1_000); i++) await run(i);
    await settle();
    const look = async () => ({
      ours: await countDescriptors(),
      shim: await countDescriptors(shim),
      inside: await countDescriptors(init),
      memory: readOwnMemory(),
      memoryInside: readMemory(init),
    });
    const before = await look();
    const started = Date.now();
    let wrong = 0;
    for (let i = 1; i <= count; i++) {
      const { stdout, stderr, exitCode } = await run(i);
      if (stdout === `in${i}` && stderr === `err${i}\n` && exitCode === i % 256) continue;
      wrong++;
      console.error(`exec ${i}: ${JSON.stringify({ stdout, stderr, exitCode })}`);
    }
    const perExec = ((Date.now() - started) / count).toFixed(1);
    await settle();
    const after = await look();
    const drift = Object.fromEntries(
      Object.entries(before).map(([name, value]) => [name, after[name as keyof typeof after] - value]),
    ) as typeof before;
    console.log(
      `containerd ${generation}, ${executor}: ${count} execs, ${wrong} wrong, ${perExec} ms each; descriptors: ours ${drift.ours}, ` +
        `shim ${drift.shim}, first process ${drift.inside}; KiB: ours ${before.memory} -> ${after.memory}, ` +
        `first process ${before.memoryInside} -> ${after.memoryInside}`,
    );
    const isFlat = drift.memory <= MEMORY_DRIFT.ours && drift.memoryInside <= MEMORY_DRIFT.inside;
    return wrong === 0 && drift.ours <= 0 && drift.shim <= SHIM_DRIFT && drift.inside <= 0 && isFlat;
  } finally {
    await daemon.stop();
  }
}

/** An exec is freed after its result was given. */
function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1_000));
}

/** What is reachable, in KiB: of a busy process the collector leaves more resident than it needs. */
function readOwnMemory(): number {
  if (global.gc === undefined) throw new Error('soak:exec needs node --expose-gc');
  global.gc();
  const { heapUsed, external } = process.memoryUsage();
  return Math.round((heapUsed + external) / 1024);
}

/** Resident, in KiB. */
function readMemory(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

const { values, positionals } = parseArgs({
  options: { executor: { type: 'string', default: 'supervisor' } },
  allowPositionals: true,
});
const [count = '10000', ...names] = positionals;
const { executor } = values;
const unknown = names.filter((name) => !GENERATIONS.some((generation) => generation === name));
if (!(Number(count) > 0) || unknown.length > 0 || (executor !== 'task' && executor !== 'supervisor')) {
  throw new Error('usage: soak:exec [--executor task|supervisor] [COUNT] [GENERATION...]');
}
for (const generation of GENERATIONS.filter((name) => names.length === 0 || names.includes(name))) {
  if (!(await soak(generation, Number(count), executor))) process.exitCode = 1;
}
