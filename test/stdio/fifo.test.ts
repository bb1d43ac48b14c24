import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { drain } from '../../src/stdio/drain.js';
import { FifoPool, type FifoSet } from '../../src/stdio/fifo.js';
import { FifoStore } from '../../src/stdio/fifo-store.js';
import { FifoReader } from '../../src/stdio/reader.js';
import { openWriter } from '../../src/stdio/writer.js';

let directory: string;
let store: FifoStore;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'fifo-'));
  store = new FifoStore(mkdtempSync(join(tmpdir(), 'fifo-store-')));
});
afterEach(async () => {
  await store.close();
  rmSync(directory, { recursive: true });
});

const makePool = () => new FifoPool(directory, store);

async function take(): Promise<string> {
  const { stdout } = await makePool().take('one', { stderr: false, stdin: false });
  return stdout;
}

/** Descriptors of this process that lie in the test's directory. */
function countOpen(): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(directory);
    } catch {
      return false;
    }
  }).length;
}

describe('FifoPool', () => {
  test('hands out distinct FIFOs under the name of their exec, in batches, and takes them back', async () => {
    const pool = makePool();
    const all = { stderr: true, stdin: true };
    const sets = await Promise.all(['a', 'b', 'c'].map((execId) => pool.take(execId, all)));
    expect(sets[1]).toEqual(pool.name('b', all));
    expect(new Set(sets.flatMap((set) => Object.values(set))).size).toBe(9);
    await pool.give(sets[0] as FifoSet);
    const before = readdirSync(directory).length;
    await pool.take('d', { stderr: true, stdin: false });
    expect(readdirSync(directory)).toHaveLength(before);
    await pool.discard(sets[1] as FifoSet);
    expect(readdirSync(directory)).toHaveLength(before - 3);
  });

  test('does not hand out again what someone still reads', async () => {
    const pool = makePool();
    const set = await pool.take('a', { stderr: false, stdin: true });
    const late = openSync(set.stdin as string, constants.O_RDONLY | constants.O_NONBLOCK);
    const before = readdirSync(directory).length;
    await pool.give(set);
    expect(readdirSync(directory)).toHaveLength(before - 1);
    closeSync(late);
  });

  test('those that were removed are made anew by the take after the next', async () => {
    const pool = makePool();
    await store.take(1);
    rmSync(store.directory, { recursive: true });
    const choice = { stderr: false, stdin: false };
    await expect(pool.take('a', choice)).rejects.toMatchObject({ code: 'unavailable', operation: 'take FIFO' });
    expect(existsSync((await pool.take('b', choice)).stdout)).toBe(true);
  });
});

describe('FifoStore', () => {
  test('gives each FIFO to one taker, and makes more before there are none', async () => {
    const taken = (await Promise.all(Array.from({ length: 50 }, () => store.take(3)))).flat();
    expect(new Set(taken).size).toBe(150);
    expect(taken.every((path) => statSync(path).isFIFO())).toBe(true);
    expect(statSync(store.directory).mode & 0o777).toBe(0o700);
    await store.close();
    expect(existsSync(store.directory)).toBe(false);
  });

  test('says where it could not make them', async () => {
    const file = join(directory, 'file');
    writeFileSync(file, '');
    const broken = new FifoStore(join(file, 'below'));
    await expect(broken.prepare()).rejects.toMatchObject({ code: 'unavailable' });
    await expect(broken.take(1)).rejects.toMatchObject({ code: 'unavailable', message: expect.stringContaining(file) });
  });
});

describe('FifoReader', () => {
  test('opened before any writer it waits, then ends with the last writer', async () => {
    const path = await take();
    const reader = new FifoReader(path);
    const chunks: Buffer[] = [];
    reader.on('data', (chunk: Buffer) => chunks.push(chunk));
    await sleep(50);
    expect(reader.readableEnded).toBe(false);
    const [first, second] = [openSync(path, 'w'), openSync(path, 'w')];
    writeSync(first, 'one ');
    closeSync(first);
    await sleep(20);
    expect(reader.readableEnded).toBe(false);
    writeSync(second, 'two');
    closeSync(second);
    await drain(reader, 5_000);
    expect(Buffer.concat(chunks).toString()).toBe('one two');
    await expect.poll(() => countOpen()).toBe(0);
  });

  test('a slow reader loses nothing and holds the writer back', async () => {
    const path = await take();
    const reader = new FifoReader(path);
    const bytes = randomBytes(8 * 1024 * 1024);
    const writer = spawn('sh', ['-c', `cat > ${path}`], { stdio: ['pipe', 'ignore', 'inherit'] });
    let written = 0;
    const writing = (async () => {
      for (let at = 0; at < bytes.length; at += 65_536) {
        const more = writer.stdin.write(bytes.subarray(at, at + 65_536));
        written = at;
        if (!more) await new Promise((resolve) => writer.stdin.once('drain', resolve));
      }
      writer.stdin.end();
    })();
    const hash = createHash('sha256');
    let read = 0;
    for await (const chunk of reader) {
      hash.update(chunk);
      read += (chunk as Buffer).length;
      await sleep(2);
      expect(written - read).toBeLessThan(2 * 1024 * 1024);
    }
    await writing;
    expect(read).toBe(bytes.length);
    expect(hash.digest('hex')).toBe(createHash('sha256').update(bytes).digest('hex'));
  });

  test('diverted and back, every byte takes one way, in order, and the end is told', async () => {
    const path = await take();
    const bytes = randomBytes(3 * 1024 * 1024);
    const source = join(directory, 'source');
    writeFileSync(source, bytes);
    const reader = new FifoReader(path);
    const seen: Buffer[] = [];
    const ways = new Set<string>();
    const note = (way: string) => (chunk: Uint8Array) => {
      ways.add(way);
      // A copy: what a diverted reader gives is overwritten by the next read.
      seen.push(Buffer.from(chunk));
      const turn = seen.length % 7;
      if (turn === 0) reader.divert(note('sink'));
      if (turn === 3) reader.divert(undefined);
    };
    reader.on('data', note('stream'));
    const ended = new Promise((resolve) => reader.once('end', resolve));
    spawn('cp', [source, path]);
    await ended;
    expect(Buffer.concat(seen).equals(bytes)).toBe(true);
    expect([...ways].sort()).toEqual(['sink', 'stream']);
  });

  test('let go while diverted, it has given all that it read and leaves the rest', async () => {
    const path = await take();
    const reader = new FifoReader(path);
    const seen: Buffer[] = [];
    reader.divert((chunk) => {
      seen.push(Buffer.from(chunk));
      reader.letGo();
    });
    const ended = new Promise((resolve) => reader.once('end', resolve));
    reader.resume();
    const held = openSync(path, constants.O_RDWR);
    writeSync(held, 'first');
    await ended;
    writeSync(held, 'second');
    expect(Buffer.concat(seen).toString()).toBe('first');
    expect(countOpen()).toBe(1);
    closeSync(held);
  });

  test('destroyed early it holds no descriptor', async () => {
    const reader = new FifoReader(await take());
    reader.destroy();
    await expect.poll(() => countOpen()).toBe(0);
  });
});

describe('openWriter', () => {
  test('delivers what was written before a reader came, and closes', async () => {
    const path = await take();
    const writer = openWriter(path);
    writer.write('early');
    await sleep(20);
    const reader = new FifoReader(path);
    const chunks: Buffer[] = [];
    reader.on('data', (chunk: Buffer) => chunks.push(chunk));
    writer.end(' late');
    await drain(reader, 5_000);
    expect(Buffer.concat(chunks).toString()).toBe('early late');
  });
});

describe('drain', () => {
  test('gives up on a stream that someone else holds open', async () => {
    const path = await take();
    const reader = new FifoReader(path);
    reader.resume();
    const held = openSync(path, 'w');
    const started = Date.now();
    await drain(reader, 100);
    expect(Date.now() - started).toBeGreaterThanOrEqual(95);
    expect(reader.readableEnded).toBe(false);
    closeSync(held);
    reader.destroy();
  });
});
