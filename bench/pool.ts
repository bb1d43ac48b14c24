/**
 * From asking for a session to the result of its first command: of a pool, and created anew, in turns:
 * npm run bench:pool [-- ROUNDS [GENERATION]]
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Session } from '../src/index.js';
import type { Generation } from '../test/support/containerd-binary.js';
import { startDaemon } from '../test/support/daemon.js';
import { openBusyboxProvider } from './busybox-provider.js';
import { findMedian, findQuantile } from './stats.js';

const IDLE_MS = 400;

const [rounds = '20', generation = '2.1'] = process.argv.slice(2);
const policy = { networkMode: 'none' } as const;

await using daemon = await startDaemon({ generation: generation as Generation });
await using provider = await openBusyboxProvider(daemon);

const times = new Map<string, number[]>();
const note = (what: string, ms: number) => times.set(what, [...(times.get(what) ?? []), ms]);

/** A session is had after the host was idle for a while, as after a user's pause. */
async function measure(what: string, get: () => Promise<Session>): Promise<void> {
  await sleep(IDLE_MS);
  const started = performance.now();
  await using session = await get();
  const got = performance.now();
  const { exitCode } = await session.exec('true');
  const ended = performance.now();
  if (exitCode !== 0) throw new Error(`the command ended with ${exitCode}`);
  note(`${what}, to the session`, got - started);
  note(`${what}, to its first result`, ended - started);
}

for (const executor of ['supervisor', 'task'] as const) {
  await using pool = provider.pool({ policy, executor, min: 2 });
  for (let round = -1; round < Number(rounds); round++) {
    await pool.ready();
    await measure(`${executor}: take`, () => pool.take());
    await measure(`${executor}: take with env, secret and name`, () =>
      pool.take({ name: `bench${round}`, env: { A: 'b' }, secrets: [{ name: 'key', value: 'x' }] }),
    );
    await measure(`${executor}: create`, () => provider.createSession({ ...policy, executor }));
    // The first round only warms up.
    if (round < 0) times.clear();
  }
  const created = findMedian(times.get(`${executor}: create, to its first result`) ?? []);
  for (const [what, values] of times) {
    const ratio = (created / findMedian(values)).toFixed(1);
    console.log(
      `${what.padEnd(62)} ${findMedian(values).toFixed(2).padStart(8)} ms  p95 ${findQuantile(values, 0.95).toFixed(2).padStart(8)}  x ${ratio}`,
    );
  }
  times.clear();
}
