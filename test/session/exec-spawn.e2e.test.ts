import { createHash } from 'node:crypto';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ContainerdProvider } from '../../src/index.js';
import type { Execution } from '../../src/session/execution.js';
import type { Session } from '../../src/session/session.js';
import { context, unseen } from '../support/context.js';
import { relax, watchSteal } from '../support/patience.js';
import { openProvider } from '../support/provider.js';

const provider = await openProvider();
let session: Session;
beforeAll(async () => {
  session = await provider.createSession();
});
afterAll(() => session.destroy());

const spawn = (script: string, options = {}) => session.spawn('sh', ['-c', script], options);
const listCommands = async () => (await session.exec('ps', ['-o', 'args'])).stdout;

async function collect(execution: Execution): Promise<string> {
  let text = '';
  for await (const { source, data } of execution) text += `${source}: ${Buffer.from(data)}`;
  return text;
}

describe('iteration', () => {
  test('gives both streams as they come', async () => {
    const execution = await spawn('echo a; sleep 0.2; echo b >&2; sleep 0.2; echo c; exit 5');
    expect(await collect(execution)).toBe('stdout: a\nstderr: b\nstdout: c\n');
    expect(await execution.result()).toMatchObject({ exitCode: 5, stdout: 'a\nc\n', stderr: 'b\n' });
  });

  test('holds a fast command back', async () => {
    const execution = await spawn(
      'i=0; while [ $i -lt 200 ]; do head -c 65536 /dev/zero; i=$((i+1)); echo $i >&2; done',
    );
    let last = 0;
    let bytes = 0;
    for await (const { source, data } of execution) {
      if (source === 'stderr') last = Number(Buffer.from(data).toString().trim().split('\n').at(-1));
      else bytes += data.length;
      if (bytes > 0 && bytes < 65_536) await sleep(relax(300));
      if (bytes < 2_000_000) expect(last * 65_536 - bytes).toBeLessThan(2 * 1024 * 1024);
    }
    expect(bytes).toBe(200 * 65_536);
  });

  test('left early it does not wait, and the command runs on', async () => {
    const execution = await spawn('echo one; echo two; sleep 0.7; echo three; head -c 1000000 /dev/zero; exit 6');
    const started = Date.now();
    const stolen = watchSteal();
    for await (const { data } of execution) {
      expect(Buffer.from(data).toString()).toMatch(/^one/);
      break;
    }
    expect(Date.now() - started - stolen()).toBeLessThan(600);
    const { exitCode, stdout } = await execution.result();
    expect([exitCode, stdout.slice(0, 14), stdout.length]).toEqual([6, 'one\ntwo\nthree\n', 1_000_014]);
  });

  test('left by an error it throws that error', async () => {
    await using execution = await spawn('echo one; sleep 1000');
    const loop = async () => {
      for await (const _ of execution) throw new Error('mine');
    };
    await expect(loop()).rejects.toThrow('mine');
  });
});

describe('stdout and stderr', () => {
  test('can be piped, at the pace of where they go', async () => {
    const execution = await spawn('head -c 8000000 /dev/zero; echo done >&2', { maxBuffer: 0 });
    const slow = new PassThrough({ highWaterMark: 65_536 });
    execution.stdout.pipe(slow);
    await sleep(relax(400));
    expect(slow.readableLength).toBeLessThan(1_000_000);
    const result = execution.result();
    let bytes = 0;
    for await (const chunk of slow) {
      bytes += (chunk as Buffer).length;
      if (bytes < 500_000) await sleep(20);
    }
    expect(bytes).toBe(8_000_000);
    expect(await result).toMatchObject({ exitCode: 0, truncated: { stdout: 8_000_000 } });
  });

  test('a reader slower than drainMs still gets everything', async () => {
    const execution = await spawn('head -c 300000 /dev/zero', { drainMs: 100 });
    const { stdout } = execution;
    const result = execution.result();
    let bytes = 0;
    for await (const chunk of stdout) {
      bytes += (chunk as Buffer).length;
      await sleep(relax(200));
    }
    expect(bytes).toBe(300_000);
    expect((await result).stdout.length).toBe(300_000);
  });
});

test('an execution is not thenable, and its result is one', async () => {
  const execution = await spawn('echo x');
  expect('then' in execution).toBe(false);
  expect(execution.execId).toMatch(/^exec-/);
  expect(execution.pid).toBeGreaterThan(1);
  expect(execution.result()).toBe(execution.result());
  expect((await execution.result()).execId).toBe(execution.execId);
});

test('it is killed at the end of its block', async ({ skip }) => {
  skip(context.isKata, unseen);
  {
    await using execution = await spawn('sleep 1234 & setsid sleep 1235 & sleep 1236');
    // Someone who waits for its result does not keep it alive.
    execution.result().catch(() => undefined);
  }
  expect(await listCommands()).not.toContain('sleep 123');
});

test('a command that never reads or writes costs nothing to leave', async () => {
  await using _ = await spawn('sleep 1000');
});

test('a stream that is taken and never read does not hold up the end of its session', async () => {
  const own = await provider.createSession();
  const execution = await own.spawn('head', ['-c', '3000000', '/dev/zero']);
  execution.stdout.pipe(new PassThrough());
  const result = execution.result();
  result.catch(() => undefined);
  await sleep(relax(200));
  await own.destroy();
  await expect(result).rejects.toMatchObject({ code: 'destroyed' });
});

describe('detach and connect', () => {
  // It outlives the test's own pauses.
  const counting = `i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo $i; sleep ${relax(20) / 1000}; done; exit 9`;
  const all = Array.from({ length: 60 }, (_, i) => `${i + 1}\n`).join('');

  test('output goes on without a gap, in this process', async () => {
    const execution = await spawn(counting, { timeoutMs: 100_000 });
    let seen = '';
    for await (const { data } of execution) {
      seen += Buffer.from(data).toString();
      if (seen.length > 20 && seen.length < 60) await execution.detach();
    }
    await expect(execution.result()).rejects.toMatchObject({ code: 'canceled' });
    await sleep(relax(300));
    expect(await session.executions.list()).toEqual([
      { execId: execution.execId, pid: execution.pid, command: context.isKata ? [] : ['sh', '-c', counting] },
    ]);
    const again = await session.executions.connect(execution.execId);
    const result = await again.result();
    expect(seen + result.stdout).toBe(all);
    expect(result).toMatchObject({ exitCode: 9, execId: execution.execId });
    await expect.poll(() => session.executions.list()).toEqual([]);
  });

  test('and from another provider, stdin included', async () => {
    const execution = await spawn('while read x; do echo "got $x"; done; exit 8', { stdin: 'pipe' });
    execution.stdin?.write('1\n');
    for await (const { data } of execution) {
      expect(Buffer.from(data).toString()).toBe('got 1\n');
      await execution.detach();
    }

    const { address, namespace, stateRoot, images } = context;
    const other = new ContainerdProvider({ image: images.reference, address, namespace, stateRoot });
    try {
      const theirs = await other.connect(session.sessionId);
      expect((await theirs.executions.list()).map(({ execId }) => execId)).toEqual([execution.execId]);
      const taken = await theirs.executions.connect(execution.execId);
      taken.stdin?.end('2\n3\n');
      expect(await taken.result()).toMatchObject({ exitCode: 8, stdout: 'got 2\ngot 3\n' });
    } finally {
      await other[Symbol.asyncDispose]();
    }
  });

  test('input that it had not read by then comes first, and what follows waits for room', async () => {
    const execution = await spawn(`sleep ${relax(500) / 1000}; sha256sum`, { stdin: 'pipe' });
    const parts = ['a', 'b'].map((letter) => Buffer.alloc(400_000, letter));
    await new Promise((resolve) => execution.stdin?.write(parts[0], resolve));
    await execution.detach();
    const again = await session.executions.connect(execution.execId);
    again.stdin?.end(parts[1]);
    const hash = createHash('sha256').update(Buffer.concat(parts)).digest('hex');
    expect(await again.result()).toMatchObject({ exitCode: 0, stdout: `${hash}  -\n` });
  });

  test('what nobody has read by then is for whoever takes it up', async () => {
    const execution = await spawn(`echo one; echo err >&2; sleep ${relax(600) / 1000}; echo two; exit 6`);
    await sleep(relax(300));
    await execution.detach();
    const again = await session.executions.connect(execution.execId);
    expect(await again.result()).toMatchObject({ exitCode: 6, stdout: 'one\ntwo\n', stderr: 'err\n' });
  });

  test('one that was taken up again can be killed, tree and all', async ({ skip }) => {
    skip(context.isKata, unseen);
    const execution = await spawn('sleep 1237 & setsid sleep 1238 & wait');
    await execution.detach();
    const again = await session.executions.connect(execution.execId);
    expect(await again.kill()).toMatchObject({ survivors: [], verified: true });
    expect((await again.result()).exitCode).toBe(137);
    expect(await listCommands()).not.toContain('sleep 123');
  });

  test('one that has ended meanwhile tells its code', async () => {
    const execution = await spawn('exit 33');
    await execution.detach();
    await sleep(relax(200));
    const again = await session.executions.connect(execution.execId);
    expect((await again.result()).exitCode).toBe(33);
    await expect(session.executions.connect('exec-none')).rejects.toMatchObject({ code: 'not-found' });
  });

  test('a detach while the result is awaited leaves the command alone', async () => {
    const execution = await spawn('sleep 0.5; exit 4');
    const result = execution.result();
    await execution.detach();
    await expect(result).rejects.toMatchObject({ code: 'canceled' });
    expect((await (await session.executions.connect(execution.execId)).result()).exitCode).toBe(4);
  });
});
