import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Session } from '../../src/session/session.js';
import { context } from '../support/context.js';
import { openProvider } from '../support/provider.js';

const MIB = 1024 * 1024;
/** Each generation has the same path; a GiB takes some ten seconds on a busy machine. */
const BYTES = (context.generation === '1.6' ? 1024 : 128) * MIB;
const GROWTH = 64 * MIB;

const provider = await openProvider();
let session: Session;
beforeAll(async () => {
  session = await provider.createSession();
});
afterAll(() => session.destroy());

/** Runs `work` and resolves with the most that our resident memory grew meanwhile, in bytes. */
async function watchMemory(work: () => Promise<void>): Promise<number> {
  globalThis.gc?.();
  const before = process.memoryUsage.rss();
  let most = before;
  const timer = setInterval(() => {
    most = Math.max(most, process.memoryUsage.rss());
  }, 20);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  return most - before;
}

/** The same bytes as `seq 1 N | head -c BYTES` writes. */
function* count(): Generator<Buffer> {
  let left = BYTES;
  for (let first = 1; left > 0; first += 10_000) {
    const lines = Array.from({ length: 10_000 }, (_, i) => `${first + i}\n`).join('');
    const chunk = Buffer.from(lines).subarray(0, left);
    left -= chunk.length;
    yield chunk;
  }
}

let expected: string | undefined;
function hashExpected(): string {
  if (expected === undefined) {
    const hash = createHash('sha256');
    for (const chunk of count()) hash.update(chunk);
    expected = hash.digest('hex');
  }
  return expected;
}

test.each([
  ['', 0],
  [', with a reader that pauses', 100],
])(`${BYTES / MIB} MiB out%s: every byte, in little memory`, { timeout: 180_000 }, async (_, pauses) => {
  hashExpected();
  const hash = createHash('sha256');
  const grown = await watchMemory(async () => {
    const execution = await session.spawn('sh', ['-c', `seq 1 200000000 | head -c ${BYTES}`], { maxBuffer: 1_000 });
    let bytes = 0;
    for await (const { data } of execution) {
      hash.update(data);
      const before = bytes;
      bytes += data.length;
      const step = BYTES / Math.max(1, pauses);
      if (pauses > 0 && Math.floor(bytes / step) > Math.floor(before / step)) await sleep(30);
    }
    expect(await execution.result()).toMatchObject({ exitCode: 0, truncated: { stdout: BYTES - 1_000 } });
  });
  expect(hash.digest('hex')).toBe(hashExpected());
  expect(grown).toBeLessThan(GROWTH);
});

test(`${BYTES / MIB} MiB in, to a reader that pauses: every byte, in little memory`, { timeout: 180_000 }, async () => {
  hashExpected();
  const grown = await watchMemory(async () => {
    const script = '(head -c 10000000; sleep 0.5; cat) | sha256sum';
    const { stdout, exitCode } = await session.exec('sh', ['-c', script], { input: Readable.from(count()) });
    expect([stdout, exitCode]).toEqual([`${hashExpected()}  -\n`, 0]);
  });
  expect(grown).toBeLessThan(GROWTH);
});

test('10 MiB kept as text are whole', async () => {
  const { stdout, truncated } = await session.exec('sh', ['-c', `seq 1 20000000 | head -c ${10 * MIB}`]);
  expect(truncated.stdout).toBe(0);
  expect(stdout).toHaveLength(10 * MIB);
  expect(stdout.startsWith('1\n2\n3\n')).toBe(true);
});
