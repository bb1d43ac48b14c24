import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { withLock } from '../../src/core/lock.js';

const name = ['lock.test', `${process.pid}`];
let other: ChildProcess | undefined;
afterEach(() => other?.kill('SIGKILL'));

/** Resolves when another process has the lock. */
async function holdElsewhere(): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['scripts/run-ts.mjs', 'test/core/lock-holder.ts', ...name], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  other = child;
  await once(child.stdout, 'data');
  return child;
}

test('a hundred at once have it one at a time, first come first served', async () => {
  const order: number[] = [];
  let inside = 0;
  await Promise.all(
    Array.from({ length: 100 }, (_, i) =>
      withLock(name, async () => {
        inside += 1;
        expect(inside).toBe(1);
        await sleep(1);
        order.push(i);
        inside -= 1;
      }),
    ),
  );
  expect(order).toEqual(Array.from({ length: 100 }, (_, i) => i));
});

test.each([
  ['gives it back', (child: ChildProcess) => child.stdin?.end()],
  ['is killed', (child: ChildProcess) => child.kill('SIGKILL')],
])('is had when another process %s, and not before', async (_, end) => {
  const child = await holdElsewhere();
  let isHeld = false;
  const held = withLock(name, async () => {
    isHeld = true;
  });
  await sleep(200);
  expect(isHeld).toBe(false);
  end(child);
  await held;
});

test('what fails inside is told, and the next one has it', async () => {
  const failing = withLock(name, async () => {
    throw new Error('inside');
  });
  await expect(failing).rejects.toThrow('inside');
  expect(await withLock(name, async () => 'next')).toBe('next');
});
