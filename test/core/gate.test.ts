import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Gate, KeyedGate } from '../../src/core/gate.js';

test('lets in as many as it is wide, in order, failures included', async () => {
  const gate = new Gate(3);
  let inside = 0;
  let most = 0;
  const order: number[] = [];
  const results = await Promise.allSettled(
    Array.from({ length: 20 }, (_, index) =>
      gate.run(async () => {
        most = Math.max(most, ++inside);
        order.push(index);
        await sleep(2);
        inside--;
        if (index % 5 === 0) throw new Error('no');
      }),
    ),
  );
  expect(most).toBe(3);
  expect(order).toEqual([...order].sort((a, b) => a - b));
  expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(4);
});

test('is as wide again after all have left', async () => {
  const gate = new Gate(1);
  await Promise.all([gate.run(async () => undefined), gate.run(async () => undefined)]);
  const entered = gate.run(async () => 'in');
  await expect(entered).resolves.toBe('in');
});

test('of a key lets in as many as it is wide, whatever other keys do', async () => {
  const gate = new KeyedGate(2);
  const inside: Record<string, number> = { a: 0, b: 0 };
  const most: Record<string, number> = { a: 0, b: 0 };
  const work = (key: string) => async () => {
    inside[key] = (inside[key] ?? 0) + 1;
    most[key] = Math.max(most[key] ?? 0, inside[key]);
    await sleep(2);
    inside[key]--;
  };
  for (let round = 0; round < 2; round++) {
    await Promise.all(
      Array.from({ length: 12 }, (_, i) => (i % 2 === 0 ? 'a' : 'b')).map((key) => gate.run(key, work(key))),
    );
    expect(most).toEqual({ a: 2, b: 2 });
  }
  await expect(gate.run('a', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  await expect(gate.run('a', async () => 'in')).resolves.toBe('in');
});
