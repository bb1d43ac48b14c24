import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Session } from '../../src/session/session.js';
import { countDescriptors } from '../support/leaks.js';
import { relax } from '../support/patience.js';
import { openProvider } from '../support/provider.js';

const provider = await openProvider();
let session: Session;
beforeAll(async () => {
  session = await provider.createSession();
});
afterAll(() => session.destroy());

const hash = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');

describe('input', () => {
  test.each<[string, string | Uint8Array | Readable, string]>([
    ['a text', 'héllo', 'héllo'],
    ['an empty text', '', ''],
    ['bytes', Buffer.from('bytes'), 'bytes'],
    ['a view into a larger buffer', new Uint8Array(Buffer.from('..view..')).subarray(2, 6), 'view'],
    ['no bytes', new Uint8Array(), ''],
    ['a stream', Readable.from(['one ', 'two']), 'one two'],
    ['an empty stream', Readable.from([]), ''],
  ])('%s arrives whole and ends', async (_, input, stdout) => {
    expect(await session.exec('cat', [], { input })).toMatchObject({ exitCode: 0, stdout });
  });

  test('without any the command reads an end at once', async () => {
    expect(await session.exec('sh', ['-c', 'read x; echo $?'])).toMatchObject({ stdout: '1\n' });
    expect(await session.exec('cat', [], { stdin: 'ignore' })).toMatchObject({ exitCode: 0, stdout: '' });
  });

  test('10 MiB pass through cat unchanged', async () => {
    const input = randomBytes(10 * 1024 * 1024);
    const execution = await session.spawn('cat', [], { input, maxBuffer: 0 });
    const sum = createHash('sha256');
    for await (const { data } of execution) sum.update(data);
    expect(sum.digest('hex')).toBe(hash(input));
    expect(await execution.result()).toMatchObject({ exitCode: 0, truncated: { stdout: input.length } });
  });

  test('a slow command holds the source back', async () => {
    let given = 0;
    const source = Readable.from(
      (async function* () {
        for (; given < 400; given++) yield Buffer.alloc(65_536, given);
      })(),
    );
    const script = `head -c 1000 | wc -c; sleep ${relax(1_000) / 1_000}; wc -c`;
    const execution = await session.spawn('sh', ['-c', script], { input: source });
    await sleep(relax(700));
    // What pipes and streams hold on the way, of 25 MiB.
    expect(given).toBeLessThan(100);
    const { stdout } = await execution.result();
    const [head, rest] = stdout.split('\n').map(Number);
    expect(head).toBe(1_000);
    expect(rest).toBeGreaterThan(400 * 65_536 - 1024 * 1024);
    expect(given).toBe(400);
  });

  test.each<[string, () => string | Readable]>([
    ['a text', () => 'x'.repeat(10_000_000)],
    [
      'an endless stream',
      () =>
        Readable.from(
          (function* () {
            for (;;) yield Buffer.alloc(65_536);
          })(),
        ),
    ],
  ])('a command that ends before it has read all of %s has had enough', async (_, make) => {
    const input = make();
    expect(await session.exec('head', ['-c', '3'], { input })).toMatchObject({ exitCode: 0 });
    if (input instanceof Readable) await expect.poll(() => input.destroyed).toBe(true);
    const closing = await session.exec('sh', ['-c', 'exec <&-; sleep 0.3; echo done; exit 4'], { input: make() });
    expect(closing).toMatchObject({ exitCode: 4, stdout: 'done\n' });
  });

  test('of a source that fails nothing counts: the command is killed and the exec rejects', async () => {
    const broken = Readable.from(
      (async function* () {
        yield 'half';
        await sleep(relax(100));
        throw new Error('disk on fire');
      })(),
    );
    await expect(session.exec('sh', ['-c', 'cat; sleep 1000'], { input: broken })).rejects.toMatchObject({
      code: 'aborted',
      message: expect.stringContaining('disk on fire'),
    });
    expect((await session.exec('ps', ['-o', 'args'])).stdout).not.toContain('sleep 1000');
    const closed = Readable.from(['x']);
    closed.destroy();
    await expect(session.exec('cat', [], { input: closed })).rejects.toMatchObject({ code: 'aborted' });
  });

  test('a terminal reads it to its end too', async () => {
    for (const input of ['whole line\n', 'no newline', '']) {
      const result = await session.exec('cat', [], { input, tty: true, timeoutMs: 5_000 });
      expect(result).toMatchObject({ exitCode: 0 });
      expect(result.stdout).toContain(input.trim());
    }
  });
});

describe("stdin: 'pipe'", () => {
  test('is a conversation, until it is ended', async () => {
    const execution = await session.spawn('sh', ['-c', 'while read x; do echo "got $x"; done; echo end'], {
      stdin: 'pipe',
    });
    const seen: string[] = [];
    let next = 1;
    execution.stdin?.write('0\n');
    for await (const { data } of execution) {
      seen.push(Buffer.from(data).toString());
      if (next < 3) execution.stdin?.write(`${next++}\n`);
      else execution.stdin?.end();
    }
    expect(seen.join('')).toBe('got 0\ngot 1\ngot 2\nend\n');
    expect((await execution.result()).exitCode).toBe(0);
  });

  test('takes a pipeline', async () => {
    const input = randomBytes(3_000_000);
    const execution = await session.spawn('sha256sum', [], { stdin: 'pipe' });
    if (execution.stdin === null) throw new Error('no stdin');
    await pipeline(Readable.from([input]), execution.stdin);
    expect((await execution.result()).stdout).toContain(hash(input));
  });

  test('writing to a command that has ended throws nothing', async () => {
    const execution = await session.spawn('true', [], { stdin: 'pipe' });
    const result = execution.result();
    for (let i = 0; i < 50; i++) execution.stdin?.write(Buffer.alloc(65_536));
    expect((await result).exitCode).toBe(0);
    execution.stdin?.write('late');
    execution.stdin?.end();
    await sleep(50);
  });

  test('is null unless asked for', async () => {
    await using execution = await session.spawn('true');
    expect(execution.stdin).toBeNull();
  });
});

test('no descriptor of ours is left', async () => {
  const before = await countDescriptors();
  for (let i = 0; i < 5; i++) {
    await session.exec('cat', [], { input: 'x' });
    await session.exec('true', [], { input: 'x'.repeat(1_000_000) });
  }
  await expect.poll(() => countDescriptors()).toBeLessThanOrEqual(before);
});
