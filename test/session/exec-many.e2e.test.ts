import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Session } from '../../src/session/session.js';
import { context } from '../support/context.js';
import { countDescriptors, observe, settle } from '../support/leaks.js';
import { relax } from '../support/patience.js';
import { openProvider } from '../support/provider.js';
import { findShim } from './shim.js';

const provider = await openProvider();
let session: Session;
beforeAll(async () => {
  session = await provider.createSession();
  await session.exec('true');
});
afterAll(() => session.destroy());

test('64 at once in one session: each its own output, code and input', async () => {
  const descriptors = await countDescriptors();
  const results = await Promise.all(
    Array.from({ length: 64 }, (_, i) =>
      session.exec(
        'sh',
        ['-c', 'cat; echo err$1 >&2; head -c 20000 /dev/zero | tr "\\0" $2; exit $1', 'sh', `${i}`, 'x'],
        {
          input: `in${i}\n`,
        },
      ),
    ),
  );
  for (const [i, result] of results.entries()) {
    expect(result).toMatchObject({ exitCode: i, stderr: `err${i}\n`, stdout: `in${i}\n${'x'.repeat(20_000)}` });
  }
  await expect.poll(() => countDescriptors()).toBe(descriptors);
});

test('50 sessions at once, each with an exec: no error, no cross-talk, nothing left', {
  timeout: relax(300_000),
}, async () => {
  const before = await observe(context);
  const outcomes = await Promise.all(
    Array.from({ length: 50 }, async (_, i) => {
      await using own = await provider.createSession({ env: { NUMBER: `${i}` } });
      const { stdout, exitCode } = await own.exec('sh', ['-c', 'echo $NUMBER; hostname; exit $NUMBER']);
      return [stdout.split('\n')[0], exitCode];
    }),
  );
  expect(outcomes).toEqual(Array.from({ length: 50 }, (_, i) => [`${i}`, i]));
  expect(await settle(context, before, 30_000)).toEqual(before);
});

test('the shim and we hold nothing of execs that ended, failed, timed out or were left', {
  timeout: relax(300_000),
}, async () => {
  const shim = findShim(session.sessionId);
  const round = async () => {
    await session.exec('true');
    await session.exec('cat', [], { input: 'x'.repeat(200_000), tty: true, timeoutMs: relax(200) });
    await expect(session.exec('no-such-command')).rejects.toMatchObject({ code: 'not-found' });
    await session.exec('sh', ['-c', 'sleep 0.2 & exit 0'], { drainMs: 10 });
    await session.exec('sleep', ['1000'], { timeoutMs: relax(50) });
    await expect(
      session.exec('sleep', ['1000'], { signal: AbortSignal.timeout(5) }).then(({ isCanceled }) => {
        if (isCanceled) throw Object.assign(new Error(), { code: 'canceled' });
      }),
    ).rejects.toMatchObject({ code: 'canceled' });
    await using execution = await session.spawn('sleep', ['1000'], { stdin: 'pipe' });
    execution.stdin?.write('x');
  };
  await round();
  await expect.poll(() => session.executions.list()).toEqual([]);
  const [ours, theirs] = [await countDescriptors(), await countDescriptors(shim)];
  for (let i = 0; i < 8; i++) await round();
  await expect.poll(() => session.executions.list()).toEqual([]);
  await expect.poll(() => countDescriptors()).toBeLessThanOrEqual(ours);
  // What an exec with a terminal had is the shim's garbage collector's to close, which runs when more is done.
  const look = () => session.exec('true').then(() => countDescriptors(shim));
  await expect.poll(look, { timeout: relax(60_000) }).toBeLessThanOrEqual(theirs + 2);
});
