import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import { SnapshotsService } from '../../src/generated/github.com/containerd/containerd/api/services/snapshots/v1/snapshots.js';
import { getImage, type Image, removeImage } from '../../src/image/image.js';
import { importArchive } from '../../src/image/import.js';
import { withOwnLease } from '../../src/image/lease.js';
import { prepareRootfs, removeRootfs } from '../../src/image/rootfs.js';
import { unpackImage } from '../../src/image/unpack.js';
import { Channel } from '../../src/rpc/channel.js';
import { collectGarbage, observeApi } from '../support/api-state.js';
import { buildDockerArchive } from '../support/busybox.js';
import { context } from '../support/context.js';
import { packTar } from '../support/tar.js';
import { digestOf, dockerArchive, layer, NAME, stream } from './archives.js';
import { withMounted } from './mounted.js';
import { expectNothingStays } from './store.js';

const channel = new Channel(context);
const directory = mkdtempSync(join(tmpdir(), 'cadre-rootfs-'));
afterEach(() => expectNothingStays(channel));
afterAll(() => {
  channel.close();
  rmSync(directory, { recursive: true });
});

async function importOne(archive: Buffer): Promise<Image> {
  const [image] = await importArchive(channel, stream(archive));
  if (image === undefined) throw new Error('nothing was imported');
  return image;
}

async function listSnapshots(snapshotter: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { info } of channel.serverStream(SnapshotsService.list, { snapshotter, filters: [] })) {
    names.push(...info.map(({ name }) => name));
  }
  return names.sort();
}

test('layers lie on top of each other, whiteouts hide, and what is written stays in one root', async () => {
  const layers = [
    packTar([
      { path: 'kept', data: 'below', mode: 0o640, uid: 7, gid: 8 },
      { path: 'changed', data: 'below' },
      { path: 'deleted', data: 'below' },
      { path: 'emptied/' },
      { path: 'emptied/old', data: 'below' },
      { path: 'link', symlink: 'kept' },
      { path: 'hard', hardlink: 'kept', mode: 0o640, uid: 7, gid: 8 },
    ]),
    packTar([
      { path: 'changed', data: 'above', mode: 0o4755 },
      { path: '.wh.deleted', data: '' },
      { path: 'emptied/.wh..wh..opq', data: '' },
      { path: 'emptied/new', data: 'above' },
    ]),
  ];
  const image = await importOne(dockerArchive({ layers }));
  const look = (root: string) => {
    expect(readdirSync(root).sort()).toEqual(['changed', 'emptied', 'hard', 'kept', 'link']);
    expect(readdirSync(join(root, 'emptied'))).toEqual(['new']);
    expect(readFileSync(join(root, 'link'), 'utf8')).toBe('below');
    expect(readFileSync(join(root, 'changed'), 'utf8')).toBe('above');
    const kept = statSync(join(root, 'kept'));
    expect([kept.mode & 0o7777, kept.uid, kept.gid, kept.nlink]).toEqual([0o640, 7, 8, 2]);
    expect(statSync(join(root, 'changed')).mode & 0o7777).toBe(0o4755);
  };
  const first = await prepareRootfs(channel, { image, key: 'first' });
  withMounted(first, (root) => {
    look(root);
    writeFileSync(join(root, 'written'), 'by the first');
  });
  withMounted(await prepareRootfs(channel, { image, key: 'second' }), look);
  await removeRootfs(channel, { key: 'first' });
  await removeRootfs(channel, { key: 'second' });
});

test('a name that is taken is refused and stays as it is; removing twice is success', async () => {
  const image = await importOne(dockerArchive());
  await prepareRootfs(channel, { image, key: 'taken', labels: { mine: 'yes' } });
  await expect(prepareRootfs(channel, { image, key: 'taken' })).rejects.toMatchObject({
    code: 'already-exists',
    message: 'there is a snapshot taken already',
  });
  const { info } = await channel.unary(SnapshotsService.stat, { snapshotter: 'overlayfs', key: 'taken' });
  expect(info).toMatchObject({ parent: image.chainId, labels: { mine: 'yes' } });
  await removeRootfs(channel, { key: 'taken' });
  await removeRootfs(channel, { key: 'taken' });
  await removeRootfs(channel, { key: 'never there' });
});

test('layers that are not unpacked yet are, in this snapshotter too, and the image then holds them', async () => {
  const image = await importOne(buildDockerArchive({ layers: 2, files: [{ path: 'second', data: '2' }] }));
  const snapshotter = 'native';
  expect(await listSnapshots(snapshotter)).toEqual([]);
  const keys = ['a', 'b', 'c', 'd'];
  await withOwnLease(channel, async (leased) => {
    // All of them find nothing, and all unpack.
    await Promise.all(keys.map((key) => prepareRootfs(leased.channel, { image, key, snapshotter })));
    expect(await listSnapshots(snapshotter)).toHaveLength(2 + keys.length);
    await Promise.all(keys.map((key) => removeRootfs(channel, { key, snapshotter })));
  });
  await collectGarbage(context);
  expect(await listSnapshots(snapshotter)).toHaveLength(2);
  expect((await observeApi(context)).leases).toEqual([]);
  await removeImage(channel, image.name, { sync: true });
  expect(await listSnapshots(snapshotter)).toEqual([]);
});

test('an unpacking that fails takes back its own and harms nothing', async () => {
  const shared = layer('shared');
  const good = await importOne(dockerArchive({ layers: [shared] }));
  const bad: Image = {
    ...good,
    layers: [...good.layers, ...good.layers],
    diffIds: [digestOf(shared), digestOf(layer('other'))],
    chainId: digestOf(Buffer.from('never')),
  };
  const unpacking = withOwnLease(channel, (leased) => unpackImage(leased, bad));
  await expect(unpacking).rejects.toMatchObject({ code: 'data-loss', message: expect.stringContaining('layer 2') });
  expect(await listSnapshots('overlayfs')).toEqual([good.chainId]);
  expect(await getImage(channel, NAME)).toEqual(good);
});

test('a layer that is not in the store any more is named', async () => {
  const image = await importOne(dockerArchive());
  const lost = { ...image, layers: image.layers.map((one) => ({ ...one, digest: digestOf(Buffer.from('gone')) })) };
  await expect(prepareRootfs(channel, { image: lost, key: 'lost', snapshotter: 'native' })).rejects.toMatchObject({
    code: 'data-loss',
    message: expect.stringContaining(`layer 1 (${digestOf(Buffer.from('gone'))}) of ${NAME} cannot be unpacked`),
  });
  expect(await listSnapshots('native')).toEqual([]);
});

test('a snapshotter that is not there', async () => {
  const image = await importOne(dockerArchive());
  const preparing = prepareRootfs(channel, { image, key: 'x', snapshotter: 'nonsense' });
  await expect(preparing).rejects.toMatchObject({ code: 'invalid-argument' });
});
