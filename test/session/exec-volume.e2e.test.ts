import { createHash, randomBytes } from 'node:crypto';
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

const block = randomBytes(16 * MIB);
const ROUNDS = BYTES / block.length;
const hashed = createHash('sha256');
for (let i = 0; i < ROUNDS; i++) hashed.update(block);
const expected = hashed.digest('hex');

beforeAll(async () => {
  await session.exec('sh', ['-c', 'cat >/block'], { input: block });
  // V8 lets up to 64 MiB of read buffers lie before it collects them for the first time: growth is counted from there.
  const idle = await session.spawn('sh', ['-c', 'for i in 1 2 3 4 5 6; do cat /block; done'], { maxBuffer: 0 });
  for await (const _ of idle);
});

test(`${BYTES / MIB} MiB out, to a reader that pauses: every byte, in little memory`, async () => {
  const hash = createHash('sha256');
  const grown = await watchMemory(async () => {
    const script = `i=0; while [ $i -lt ${ROUNDS} ]; do cat /block; i=$((i+1)); done`;
    const execution = await session.spawn('sh', ['-c', script], { maxBuffer: 0 });
    let bytes = 0;
    for await (const { data } of execution) {
      hash.update(data);
      const before = bytes;
      bytes += data.length;
      if (Math.floor(bytes / block.length) > Math.floor(before / block.length)) await sleep(20);
    }
    expect(await execution.result()).toMatchObject({ exitCode: 0, truncated: { stdout: BYTES } });
  });
  expect(hash.digest('hex')).toBe(expected);
  expect(grown).toBeLessThan(GROWTH);
});

test(`${BYTES / MIB} MiB in, to a command that pauses: every byte, in little memory`, async () => {
  const source = Readable.from(
    (function* () {
      const step = 256 * 1024;
      for (let at = 0; at < BYTES; at += step) yield block.subarray(at % block.length, (at % block.length) + step);
    })(),
    { highWaterMark: 4 },
  );
  const grown = await watchMemory(async () => {
    const script = '(dd bs=65536 count=100 iflag=fullblock 2>/dev/null; sleep 0.5; cat) | sha256sum';
    const { stdout, exitCode } = await session.exec('sh', ['-c', script], { input: source });
    expect([stdout, exitCode]).toEqual([`${expected}  -\n`, 0]);
  });
  expect(grown).toBeLessThan(GROWTH);
});

test('10 MiB kept as text are whole', async () => {
  const { stdout, truncated } = await session.exec('sh', ['-c', `seq 1 2000000 | head -c ${10 * MIB}`]);
  expect(truncated.stdout).toBe(0);
  expect(stdout).toHaveLength(10 * MIB);
  expect(stdout.startsWith('1\n2\n3\n')).toBe(true);
});
