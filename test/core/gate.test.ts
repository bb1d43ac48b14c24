import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Gate } from '../../src/core/gate.js';

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
