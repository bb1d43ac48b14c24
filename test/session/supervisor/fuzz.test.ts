import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DriverError } from '../../../src/core/error.js';
import { parseEntries } from '../../../src/session/files/entry.js';
import { Link } from '../../../src/session/supervisor/link.js';
import { RemoteProcess } from '../../../src/session/supervisor/process.js';
import {
  answer,
  encodeFrame,
  encodeNumbers,
  MAGIC,
  MAX_DATA,
  MAX_OUTPUT,
  WINDOW,
} from '../../../src/session/supervisor/protocol.js';
import { createRandom, seed } from '../recovery/seed.js';

/** Of processor time; `npm run fuzz` has more. */
const SECONDS = Number(process.env.CADRE_FUZZ_SECONDS ?? 1);
const GROWTH = 64 * 1024 * 1024;

const random = createRandom(seed);
const pick = (limit: number) => Math.floor(random() * limit);
const choose = <T>(list: readonly T[]): T => list[pick(list.length)] as T;
const types = Object.values(answer);

const welcome = (window: number) => encodeFrame(answer.welcome, 0, encodeNumbers(MAGIC, 1, window));

/** What no supervisor of ours would say, most of it well formed. */
function makeAnswers(): Buffer {
  const frames = Array.from({ length: 1 + pick(20) }, () => {
    const numbers = Array.from({ length: pick(5) }, () => choose([0, 1, 2, 3, 65_536, 2 ** 31, 2 ** 32 - 1]));
    const payload = choose([
      encodeNumbers(...numbers),
      Buffer.alloc(choose([0, 1, 3, 7, 100, MAX_DATA, MAX_OUTPUT]), pick(256)),
      encodeNumbers(5, 4, 3),
    ]);
    return encodeFrame(choose(types), choose([1, 1, 1, 0, 2]), payload);
  });
  const all = Buffer.concat([...(pick(10) === 0 ? [] : [welcome(choose([0, 1, 262_144, 2 ** 32 - 1]))]), ...frames]);
  for (let left = pick(3); left > 0; left--) all[pick(all.length)] = pick(256);
  return all.subarray(0, pick(4) === 0 ? pick(all.length) : all.length);
}

let directory: string;
let speak: (socket: Socket) => void;
const server = createServer((socket) => {
  socket.on('error', () => undefined);
  socket.resume();
  speak(socket);
});
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fuzz-'));
  await new Promise<void>((resolve) => server.listen(join(directory, 'socket'), resolve));
});
afterAll(async () => {
  server.close();
  await rm(directory, { recursive: true });
});

/** A command on it, to its end; what it fails with has to be said in our words. */
async function talk(): Promise<void> {
  const expectKnown = (error: unknown) => expect(error).toBeInstanceOf(DriverError);
  try {
    const link = await Link.open(join(directory, 'socket'));
    try {
      const process = new RemoteProcess(link, { execId: 'e', command: 'c' }, (inside) => inside);
      for (const stream of [process.stdout, process.stderr]) {
        stream.on('error', expectKnown);
        if (pick(3) > 0) stream.resume();
      }
      await process.started.catch(expectKnown);
      process.stdin?.write(Buffer.alloc(1000));
      await process.exited.catch(expectKnown);
      await process.release();
    } finally {
      link.close();
    }
  } catch (error) {
    expectKnown(error);
  }
}

test(`an end that says anything at all ends its connection, and costs no memory (CADRE_SEED=${seed})`, async () => {
  speak = (socket) => socket.end(makeAnswers());
  const measure = async (seconds: number): Promise<number> => {
    const { user, system } = process.cpuUsage();
    const isOver = () => {
      const spent = process.cpuUsage();
      return spent.user + spent.system - user - system > seconds * 1e6;
    };
    let rounds = 0;
    for (; !isOver(); rounds++) await talk();
    expect(rounds).toBeGreaterThan(0);
    return process.memoryUsage().rss;
  };
  const before = await measure(SECONDS / 2);
  expect((await measure(SECONDS / 2)) - before).toBeLessThan(GROWTH);
}, 3_600_000);

test('output beyond its window is not kept: it ends the connection', async () => {
  const frame = encodeFrame(answer.output, 1, new Uint8Array(MAX_OUTPUT));
  const started = encodeFrame(answer.started, 1, encodeNumbers(1, 1, 0, 0));
  speak = (socket) => socket.write(Buffer.concat([welcome(0), started, ...Array(64).fill(frame)]));
  const link = await Link.open(join(directory, 'socket'));
  const process = new RemoteProcess(link, { execId: 'e', command: 'c' }, (inside) => inside);
  process.stdout.on('error', () => undefined);
  await expect(process.exited).rejects.toMatchObject({ code: 'data-loss' });
  expect(process.stdout.readableLength).toBeLessThanOrEqual(WINDOW);
  expect(link.isOpen).toBe(false);
});

test('a list of files is one, or an error', () => {
  for (let round = 0; round < 2_000; round++) {
    const told = Buffer.from(Array.from({ length: pick(100) }, () => choose([0, 0, 0, 1, pick(256)])));
    try {
      for (const entry of parseEntries(told)) expect(entry.text.length).toBeLessThan(100);
    } catch (error) {
      expect(error).toMatchObject({ code: 'data-loss' });
    }
  }
});
