import { expect, test } from 'vitest';
import type { Image } from '../../src/image/image.js';
import type { PullProgress } from '../../src/image/pull-options.js';
import { PullWatch } from '../../src/image/pull-watch.js';

const image = { name: 'a' } as Image;
const at = (completed: number): PullProgress => ({ stage: 'download', completed, total: 3 });

function open() {
  let tell: (progress: PullProgress) => void = () => undefined;
  let settle: { resolve(image: Image): void; reject(error: Error): void } = { resolve() {}, reject() {} };
  const watch = new PullWatch((onProgress) => {
    tell = onProgress;
    return new Promise((resolve, reject) => {
      settle = { resolve, reject };
    });
  });
  return { watch, tell, ...settle };
}

async function collect(watch: PullWatch): Promise<number[]> {
  const seen: number[] = [];
  for await (const { completed } of watch) seen.push(completed);
  return seen;
}

test('each of several loops is told all that it has the time for, and the end', async () => {
  const { watch, tell, resolve } = open();
  const both = Promise.all([collect(watch), collect(watch)]);
  for (const completed of [1, 2, 3]) {
    tell(at(completed));
    await new Promise(setImmediate);
  }
  resolve(image);
  expect(await both).toEqual([
    [1, 2, 3],
    [1, 2, 3],
  ]);
  expect(await watch.image).toBe(image);
});

test('who comes late, or reads slowly, is told the present', async () => {
  const { watch, tell, resolve } = open();
  tell(at(1));
  tell(at(2));
  const loop = watch[Symbol.asyncIterator]();
  expect((await loop.next()).value).toEqual(at(2));
  tell(at(3));
  resolve(image);
  expect((await loop.next()).value).toEqual(at(3));
  expect((await loop.next()).done).toBe(true);
});

test('a failure ends the loop; nobody who does not ask is bothered with it', async () => {
  const { watch, reject } = open();
  const loop = collect(watch);
  reject(new Error('gone'));
  await expect(loop).rejects.toThrow('gone');
  await expect(watch.image).rejects.toThrow('gone');
  const other = open();
  other.reject(new Error('unseen'));
  await new Promise(setImmediate);
});
