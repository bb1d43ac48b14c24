import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { gatherPieces } from '../../src/image/content-pieces.js';

const MIB = 1024 * 1024;

async function gather(data: AsyncIterable<Uint8Array>, skip = 0): Promise<{ pieces: Buffer[]; failure: unknown }> {
  const pieces: Buffer[] = [];
  try {
    for await (const piece of gatherPieces(data, skip)) pieces.push(Buffer.from(piece.data));
    return { pieces, failure: undefined };
  } catch (failure) {
    return { pieces, failure };
  }
}

test.each([0, 5, 3 * MIB])('pieces are the bytes in their order, without the first %i', async (skip) => {
  const all = Buffer.alloc(9 * MIB, 'a piece of sixteen');
  const { pieces } = await gather(
    (async function* () {
      for (let at = 0; at < all.length; at += 700_001) yield all.subarray(at, at + 700_001);
    })(),
    skip,
  );
  expect(Buffer.concat(pieces).equals(all.subarray(skip))).toBe(true);
  expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThanOrEqual(4 * MIB);
});

test('what came before a failure is given before it', async () => {
  const failure = new Error('broken');
  const gathered = await gather(
    (async function* () {
      yield Buffer.from('half');
      throw failure;
    })(),
  );
  expect(gathered).toEqual({ pieces: [Buffer.from('half')], failure });
});

test('what comes slowly is not held back', async () => {
  let written = 0;
  const slow = async function* () {
    yield Buffer.from('a');
    for (; written === 0; await sleep(20)) yield Buffer.from('b');
  };
  for await (const { data } of gatherPieces(slow(), 0)) written += data.length;
  expect(written).toBeGreaterThan(1);
});
