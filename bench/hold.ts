/**
 * What many live sessions cost that share shims, and what the next session costs beside them; the Go client's is the control:
 * npm run bench:hold [-- SESSIONS [SESSIONS_A_SHIM [GENERATION]]]
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ContainerdProvider, type CreateOptions, type Session } from '../src/index.js';
import { findShims } from '../src/session/leftovers.js';
import type { Generation } from '../test/support/containerd-binary.js';
import { layGround, POLICY } from './ground.js';
import type { Peer } from './peer.js';
import { callRoster } from './roster.js';
import { findMedian } from './stats.js';

const [count = '1000', perShim = '16', generation = '1.6'] = process.argv.slice(2);
/** No session is begun later than so long after the first, in ms: a busy machine holds fewer. */
const FILL_MS = 150_000;
/** Two cores: more at once only queue. */
const WIDTH = 4;
const ROUNDS = 15;

const undos: (() => unknown)[] = [];
const defer = (undo: () => unknown) => undos.unshift(undo);
const held: Session[] = [];
try {
  const ground = await layGround(generation as Generation, defer);
  const { address, namespace, image, daemon } = ground;
  const { peers, skipped } = await callRoster(['ours', 'go'], ground, defer);
  for (const { name, reason } of skipped) console.log(`${name} is skipped: ${reason}`);
  const provider = new ContainerdProvider({ image, address, namespace, stateRoot: join(daemon.root, 'sessions') });
  defer(() => provider.close());

  const empty = await measureCreate(peers);
  const before = readCost(address, namespace, daemon.pid);
  const started = Date.now();
  let next = 0;
  const fill = async () => {
    while (next < Number(count) && Date.now() - started < FILL_MS) {
      const shimGroup = `hold-${Math.floor(next++ / Number(perShim))}`;
      held.push(await provider.createSession({ ...POLICY, shimGroup } as CreateOptions));
    }
  };
  defer(() => runWide(() => emptyOut()));
  await runWide(fill);
  const seconds = (Date.now() - started) / 1000;
  const after = readCost(address, namespace, daemon.pid);
  const full = await measureCreate(peers);

  const each = (read: (cost: Cost) => number) => ((read(after) - read(before)) / held.length / 1e6).toFixed(3);
  console.log(`${held.length} sessions in ${seconds.toFixed(0)} s, ${after.shims} shims on containerd ${generation}`);
  console.log(`MB each: shims ${each((c) => c.shimBytes)}, containerd ${each((c) => c.daemonBytes)}, `);
  console.log(`         this process ${each((c) => c.ownBytes)}, the whole host ${each((c) => c.usedBytes)}`);
  for (const [name, ms] of empty) {
    const now = full.get(name) ?? Number.NaN;
    console.log(
      `${name}: create ${ms.toFixed(1)} ms on an empty host, ${now.toFixed(1)} beside them: x ${(now / ms).toFixed(2)}`,
    );
  }
} finally {
  for (const undo of undos) await undo();
}

interface Cost {
  shims: number;
  shimBytes: number;
  daemonBytes: number;
  ownBytes: number;
  /** Of the kernel too, and of the sessions' own processes. */
  usedBytes: number;
}

function readCost(address: string, namespace: string, daemon = 0): Cost {
  const shims = findShims(address, namespace, 0);
  const available = Number(/^MemAvailable: +(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1]) * 1024;
  return {
    shims: shims.length,
    shimBytes: shims.reduce((sum, { pid }) => sum + readShare(pid), 0),
    daemonBytes: readShare(daemon),
    ownBytes: readShare(process.pid),
    usedBytes: -available,
  };
}

/** Proportional, as shims have their program's pages in common (proc_pid_smaps(5)). */
function readShare(pid: number): number {
  return Number(/^Pss: +(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1]) * 1024;
}

/** Medians, in turns. */
async function measureCreate(peers: readonly Peer[]): Promise<Map<string, number>> {
  const times = new Map<string, number[]>(peers.map(({ name }) => [name, []]));
  for (let round = -1; round < ROUNDS; round++) {
    for (const peer of peers) {
      const { create } = await peer.ask<{ create: number }>('cold');
      // The first round only warms up.
      if (round >= 0) times.get(peer.name)?.push(create);
    }
  }
  return new Map([...times].map(([name, values]) => [name, findMedian(values)]));
}

async function emptyOut(): Promise<void> {
  for (let session = held.pop(); session !== undefined; session = held.pop()) await session.destroy();
}

async function runWide(work: () => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: WIDTH }, work));
}
