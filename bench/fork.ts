/**
 * A fork of a stopped session that wrote 200 MiB in 10,000 files, against an empty create on the same daemon, in turns:
 * npm run bench:fork [-- ROUNDS [GENERATION]]
 */
import type { Session } from '../src/index.js';
import type { Generation } from '../test/support/containerd-binary.js';
import { startDaemon } from '../test/support/daemon.js';
import { openBusyboxProvider } from './busybox-provider.js';

const FILES = 10_000;
const FILE_KIB = 20;

const [rounds = '10', generation = '2.1'] = process.argv.slice(2);

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? 0;
}

async function measure(times: number[], make: () => Promise<{ destroy(): Promise<void> }>): Promise<void> {
  const started = performance.now();
  const made = await make();
  times.push(performance.now() - started);
  await made.destroy();
}

await using daemon = await startDaemon({ generation: generation as Generation });
await using provider = await openBusyboxProvider(daemon);

/** A stopped session that wrote all that is to be shared. */
async function makeParent(): Promise<Session> {
  const parent = await provider.createSession({ networkMode: 'none' });
  const script = `head -c ${FILE_KIB * 1024} /dev/urandom >/seed; mkdir /data; for i in $(seq ${FILES}); do cp /seed /data/$i; done`;
  await parent.exec('sh', ['-c', script]);
  await parent.stop();
  return parent;
}

async function fork(parent: Session): Promise<Session> {
  const [made] = await parent.fork();
  if (made === undefined) throw new Error('nothing was forked');
  return made;
}

const times: Record<'create' | 'first fork' | 'fork again', number[]> = {
  create: [],
  'first fork': [],
  'fork again': [],
};
for (let round = 0; round < Number(rounds); round++) {
  await using parent = await makeParent();
  await measure(times.create, () => provider.createSession({ networkMode: 'none' }));
  // The first makes a layer of what was written, the next finds it.
  await measure(times['first fork'], () => fork(parent));
  await measure(times['fork again'], () => fork(parent));
}
for (const [what, values] of Object.entries(times)) {
  const ratio = median(values) / median(times.create);
  console.log(`${what.padEnd(12)} ${median(values).toFixed(1).padStart(8)} ms  ${ratio.toFixed(2)} x create`);
}
