import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { getImage, listImages, removeImage } from '../../src/image/image.js';
import { importArchive } from '../../src/image/import.js';
import { prepareRootfs, removeRootfs } from '../../src/image/rootfs.js';
import { Channel } from '../../src/rpc/channel.js';
import { collectGarbage, observeApi } from '../support/api-state.js';
import { BUSYBOX_REFERENCE, buildDockerArchive, buildOciLayout } from '../support/busybox.js';
import { context } from '../support/context.js';
import { digestOf, dockerArchive, HOST, image, layer, layout, NAME, named, OCI, stream, targetOf } from './archives.js';
import { expectNothingStays } from './store.js';

const channel = new Channel(context);
afterAll(() => channel.close());

afterEach(() => expectNothingStays(channel));

const busybox = { layers: 2, files: [{ path: 'second', data: '2' }], config: { User: 'agent', Env: ['A=1'] } } as const;

describe.each([
  ['docker-archive', buildDockerArchive(busybox)],
  ['OCI layout', buildOciLayout(busybox)],
])('%s of busybox', (_, archive) => {
  test.each([
    ['plain', archive],
    ['gzip', gzipSync(archive)],
  ])('%s: import, get, prepare', async (_, bytes) => {
    const [imported] = await importArchive(channel, stream(bytes));
    if (imported === undefined) throw new Error('nothing was imported');
    expect(imported.name).toBe(BUSYBOX_REFERENCE);
    expect(imported.config).toMatchObject({ User: 'agent', Env: ['A=1'], Cmd: ['sh'], WorkingDir: '/' });
    expect(imported.platform).toEqual(HOST);
    expect(await getImage(channel, BUSYBOX_REFERENCE)).toEqual(imported);
    expect(await listImages(channel)).toMatchObject([{ name: BUSYBOX_REFERENCE, target: imported.target }]);
    expect((await observeApi(context)).leases).toEqual([]);

    await collectGarbage(context);
    const { content, snapshots, ingests } = await observeApi(context);
    const digests = [imported.target, ...imported.layers].map(({ digest }) => digest);
    expect(content).toEqual([...digests, imported.configDigest].sort());
    expect(snapshots).toHaveLength(2);
    expect(snapshots).toContain(imported.chainId);
    expect(ingests).toEqual([]);

    const mounts = await prepareRootfs(channel, { image: imported, key: 'rootfs' });
    expect(mounts).toMatchObject([{ type: 'overlay', source: 'overlay' }]);
    await removeRootfs(channel, { key: 'rootfs' });
  });
});

describe('names', () => {
  test('a path, and a name of the caller instead of those in the archive', async () => {
    const images = await importArchive(channel, context.images.dockerArchive, { reference: 'mine' });
    expect(images.map(({ name }) => name)).toEqual(['docker.io/library/mine:latest']);
    expect(await listImages(channel)).toHaveLength(1);
  });

  test('every tag of a docker-archive', async () => {
    const bytes = dockerArchive({ item: { RepoTags: ['app:1', 'app:2'] } });
    const images = await importArchive(channel, stream(bytes));
    expect(images.map(({ name }) => name)).toEqual(['docker.io/library/app:1', 'docker.io/library/app:2']);
    expect(new Set(images.map(({ target }) => target.digest)).size).toBe(1);
  });

  test('several images of one OCI layout', async () => {
    const [a, b] = [image({ layers: [layer('a')] }), image({ layers: [layer('b')] })];
    const manifests = [named(targetOf(a), 'registry.test/a:1'), named(targetOf(b), 'registry.test/b:1')];
    const images = await importArchive(channel, stream(layout([...a, ...b], { manifests })));
    expect(images.map(({ name }) => name)).toEqual(['registry.test/a:1', 'registry.test/b:1']);
    const bytes = layout([...a, ...b], { manifests });
    await expect(importArchive(channel, stream(bytes), { reference: 'c' })).rejects.toMatchObject({
      code: 'invalid-argument',
      message: 'the archive has 2 images, which cannot all be named docker.io/library/c:latest',
    });
  });

  test.each([
    ['docker-archive', dockerArchive({ item: { RepoTags: null } })],
    ['OCI layout', layout(image(), { manifests: [targetOf(image()).descriptor] })],
    ['OCI layout that names only a tag', layout(image(), { manifests: [named(targetOf(image()), 'latest')] })],
  ])('none in a %s: needs one from the caller', async (_, bytes) => {
    await expect(importArchive(channel, stream(bytes))).rejects.toMatchObject({
      code: 'invalid-argument',
      message: 'an image in the archive has no name: import it with a reference',
    });
    expect(await importArchive(channel, stream(bytes), { reference: NAME })).toMatchObject([{ name: NAME }]);
  });

  test('a name that is no reference is refused before anything is read', async () => {
    const source = stream(dockerArchive());
    await expect(importArchive(channel, source, { reference: 'No' })).rejects.toMatchObject({
      code: 'invalid-argument',
    });
    expect(source.readableDidRead).toBe(false);
    source.destroy();
  });

  test('a name that there is gets the new meaning, and the old content goes', async () => {
    const [before] = await importArchive(channel, stream(dockerArchive({ layers: [layer('old')] })));
    const [after] = await importArchive(channel, stream(dockerArchive({ layers: [layer('new')] })));
    expect(await getImage(channel, NAME)).toEqual(after);
    await collectGarbage(context);
    const { content, snapshots } = await observeApi(context);
    expect(content).not.toContain(before?.target.digest);
    expect(snapshots).toEqual([after?.chainId]);
  });
});

describe('shapes', () => {
  const layers = [layer('one'), layer('two')];

  test('compressed layers in a docker-archive', async () => {
    const bytes = dockerArchive({ layers, stored: layers.map((data) => gzipSync(data)) });
    const [imported] = await importArchive(channel, stream(bytes));
    expect(imported?.layers.map(({ mediaType }) => mediaType)).toEqual(Array(2).fill(`${OCI}.layer.v1.tar+gzip`));
    expect(imported?.diffIds).toEqual(layers.map(digestOf));
  });

  test('links from one layer to the same layer elsewhere, as older docker versions write them', async () => {
    const same = layer('one');
    const bytes = dockerArchive({
      layers: [same, same, same],
      stored: [same],
      item: { Layers: ['0/layer.tar', 'a/layer.tar', './b/layer.tar'] },
      more: [
        { path: 'a/layer.tar', symlink: '../0/layer.tar' },
        { path: 'b/layer.tar', hardlink: 'a/layer.tar' },
      ],
    });
    const [imported] = await importArchive(channel, stream(bytes));
    expect(imported?.diffIds).toEqual(Array(3).fill(digestOf(same)));
  });

  test('both forms in one archive, as newer docker versions write them', async () => {
    const blobs = image({ layers });
    const manifest = [{ Config: 'missing', RepoTags: ['other:1'], Layers: ['missing'] }];
    const more = [{ path: 'manifest.json', data: JSON.stringify(manifest) }];
    expect(await importArchive(channel, stream(layout(blobs, { more })))).toMatchObject([{ name: NAME }]);
  });

  test('an image without layers', async () => {
    const [imported] = await importArchive(channel, stream(dockerArchive({ layers: [] })));
    if (imported === undefined) throw new Error('nothing was imported');
    expect(imported.chainId).toBe('');
    expect(await prepareRootfs(channel, { image: imported, key: 'empty' })).toHaveLength(1);
    await removeRootfs(channel, { key: 'empty' });
  });

  test('entries of no meaning are passed over and do not stay', async () => {
    const more = [
      { path: 'repositories', data: '{}' },
      { path: 'README', data: 'hello' },
    ];
    await importArchive(channel, stream(dockerArchive({ layers, more })));
    expect((await observeApi(context)).content).toHaveLength(4);
  });
});

describe('again and at once', () => {
  test('the second import changes nothing', async () => {
    const bytes = buildOciLayout(busybox);
    const first = await importArchive(channel, stream(bytes));
    await collectGarbage(context);
    const before = await observeApi(context);
    expect(await importArchive(channel, stream(bytes))).toEqual(first);
    expect(await observeApi(context)).toEqual(before);
  });

  test('imports of the same content at once all succeed, while garbage is collected', async () => {
    const docker = buildDockerArchive(busybox);
    const oci = buildOciLayout(busybox);
    let running = true;
    const collecting = (async () => {
      while (running) await collectGarbage(context);
    })();
    try {
      for (let round = 0; round < 3; round += 1) {
        const all = await Promise.all(
          [docker, oci, docker, oci].map((bytes, i) =>
            importArchive(channel, stream(bytes), { reference: `registry.test/parallel:${i}` }),
          ),
        );
        expect(new Set(all.flat().map(({ chainId }) => chainId)).size).toBe(1);
        for (const [i] of all.entries()) {
          const reference = `registry.test/parallel:${i}`;
          const key = `parallel-${i}`;
          await prepareRootfs(channel, { image: await getImage(channel, reference), key });
          await removeRootfs(channel, { key });
          await removeImage(channel, reference);
        }
      }
    } finally {
      running = false;
      await collecting;
    }
    await collectGarbage(context);
  });
});
