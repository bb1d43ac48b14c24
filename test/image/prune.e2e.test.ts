import { afterEach, expect, test } from 'vitest';
import { collectGarbage } from '../support/api-state.js';
import { context } from '../support/context.js';
import { observe } from '../support/leaks.js';
import { openProvider } from '../support/provider.js';
import { packTar } from '../support/tar.js';
import { dockerArchive, stream } from './archives.js';

const provider = await openProvider();
const { images } = provider;
const busybox = context.images.reference;
const SIZE = 300_000;
const shared = packTar([{ path: 'shared', data: Buffer.alloc(SIZE, 1) }]);
const own = (name: string) => packTar([{ path: name, data: Buffer.alloc(SIZE, name) }]);

/** Two that share a layer, the second with one of its own as well. */
async function importTwo(): Promise<void> {
  await images.import(stream(dockerArchive({ layers: [shared] })), { reference: 'one' });
  await images.import(stream(dockerArchive({ layers: [shared, own('two')] })), { reference: 'two' });
}

const NAMES = ['docker.io/library/one:latest', 'docker.io/library/two:latest'];

afterEach(async () => {
  for await (const { name } of images.list()) if (name !== busybox) await images.remove(name, { force: true });
  await collectGarbage(context);
});

async function readBytes(): Promise<Record<string, { bytes: number; uniqueBytes: number }>> {
  const { images: found } = await images.usage();
  return Object.fromEntries(found.map(({ name, bytes, uniqueBytes }) => [name, { bytes, uniqueBytes }]));
}

test('usage counts what is shared once, and tells what each removal would free', async () => {
  await collectGarbage(context);
  const before = await images.usage();
  expect(before.totalBytes).toBe(before.contentBytes + before.snapshotBytes);
  await importTwo();
  const after = await images.usage();
  const [one, two] = [(await readBytes())[NAMES[0] ?? ''], (await readBytes())[NAMES[1] ?? '']];
  // Stored and unpacked: two of the one layer, four of the two.
  for (const [image, layers] of [
    [one, 1],
    [two, 2],
  ] as const) {
    expect(image?.bytes).toBeGreaterThan(layers * 2 * SIZE);
    expect(image?.bytes).toBeLessThan(layers * 2 * SIZE + 100_000);
  }
  expect(one?.uniqueBytes).toBeLessThan(SIZE);
  expect(two?.uniqueBytes).toBeGreaterThan(2 * SIZE);
  expect(after.totalBytes - before.totalBytes).toBe((two?.bytes ?? 0) + (one?.uniqueBytes ?? 0));
  await images.remove('two', { sync: true });
  expect((await images.usage()).totalBytes).toBe(after.totalBytes - (two?.uniqueBytes ?? 0));
});

test('prune says what it would free, and frees that; what a session was made of stays', async () => {
  await importTwo();
  await using session = await provider.createSession();
  const all = await observe(context);
  const before = await images.usage();
  const told = await images.prune({ dryRun: true });
  expect(told).toMatchObject({ removed: NAMES, inUse: [busybox] });
  expect((await observe(context)).api).toEqual(all.api);
  expect(await images.prune()).toEqual(told);
  expect((await images.usage()).totalBytes).toBe(before.totalBytes - told.freedBytes);
  expect(await session.exec('true')).toMatchObject({ exitCode: 0 });
});

test('prune by age and by bytes, the oldest first', async () => {
  await importTwo();
  await images.tag(busybox, 'kept');
  expect((await images.prune({ olderThanMs: 3_600_000 })).removed).toEqual([]);
  const { totalBytes } = await images.usage();
  expect((await images.prune({ maxBytes: totalBytes })).removed).toEqual([]);
  await using _session = await provider.createSession();
  const { totalBytes: now } = await images.usage();
  // The first shares its layer, so that it takes both to get below.
  expect((await images.prune({ maxBytes: now - SIZE })).removed).toEqual(NAMES);
  expect(await images.exists('kept')).toBe(true);
  await expect(images.prune({ maxBytes: -1, olderThan: 5 } as never)).rejects.toMatchObject({
    code: 'invalid-argument',
    faults: [{ path: 'olderThan', suggestion: 'olderThanMs' }, { path: 'maxBytes' }],
  });
});
