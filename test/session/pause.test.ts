import { expect, test } from 'vitest';
import type { Channel } from '../../src/rpc/channel.js';
import { lockFreezer, lockFreezerBriefly } from '../../src/session/pause.js';

const channel = { address: `/run/${process.pid}.sock`, namespace: 'freezer' } as Channel;

test('a kill has its turn after who is at it, and goes on without one that is stuck', async () => {
  const order: string[] = [];
  let release: () => void = () => undefined;
  const stuck = lockFreezer(channel, 'one', () => new Promise<void>((resolve) => (release = resolve)));
  const kill = lockFreezerBriefly(channel, 'one', async () => order.push('killed'));
  await expect(kill).resolves.toBe(1);
  release();
  await stuck;
  const pause = lockFreezer(channel, 'one', async () => order.push('paused'));
  await Promise.all([pause, lockFreezerBriefly(channel, 'one', async () => order.push('killed again'))]);
  expect(order).toEqual(['killed', 'paused', 'killed again']);
});

test('what it does is done once, and its failure is its own', async () => {
  let count = 0;
  const fail = async () => {
    count++;
    throw new Error('no');
  };
  await expect(lockFreezerBriefly(channel, 'two', fail)).rejects.toThrow('no');
  expect(count).toBe(1);
});
