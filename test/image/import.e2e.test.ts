import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { getImage, listImages, removeImage } from '../../src/image/image.js';
import { importArchive } from '../../src/image/import.js';
import { prepareRootfs, removeRootfs } from '../../src/image/rootfs.js';
import { Channel } from '../../src/rpc/channel.js';
import { collectGarbage, observeApi } from '../support/api-state.js';
import { BUSYBOX_REFERENCE, buildDockerArchive, buildOciLayout } from '../support/busybox.js';
import { context } from '../support/context.js';
import {
  blob,
  digestOf,
  dockerArchive,
  EMPTY_STATE,
  HOST,
  image,
  layer,
  layout,
  NAME,
  named,
  OCI,
  stream,
  targetOf,
} from './archives.js';

const channel = new Channel(context);
afterAll(() => channel.close());

/** Whatever a test imported goes with its name, and nothing stays. */
afterEach(async () => {
  for (const { name } of await listImages(channel)) await removeImage(channel, name, { sync: true });
  expect(await observeApi(context)).toEqual(EMPTY_STATE);
});

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
    expect(await listImages(channel)).toEqual([{ name: BUSYBOX_REFERENCE, target: imported.target }]);
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

describe('platforms', () => {
  const ours = image({ layers: [layer('ours')] });
  const other = image({ layers: [layer('other')], platform: { os: 'linux', architecture: 's390x' } });
  const describeAs = (blobs: ReturnType<typeof image>, platform: unknown) => ({
    ...targetOf(blobs).descriptor,
    ...(platform === undefined ? {} : { platform }),
  });
  const index = (manifests: unknown[]) => blob(`${OCI}.index.v1+json`, { schemaVersion: 2, manifests });

  test.each([
    ['said by the index', HOST, { os: 'linux', architecture: 's390x' }],
    ['said by the configs', undefined, undefined],
  ])('this machine is chosen, %s; the others are kept', async (_, first, second) => {
    const both = index([describeAs(other, second), describeAs(ours, first)]);
    const [imported] = await importArchive(channel, stream(layout([...other, ...ours, both])));
    expect(imported?.manifest.digest).toBe(targetOf(ours).descriptor.digest);
    expect(imported?.target.digest).toBe(both.descriptor.digest);
    await collectGarbage(context);
    expect((await observeApi(context)).content).toHaveLength(7);
    expect(await getImage(channel, NAME)).toEqual(imported);
    const platform = { os: 'linux', architecture: 's390x' };
    expect((await getImage(channel, NAME, { platform })).manifest.digest).toBe(targetOf(other).descriptor.digest);
  });

  test('content of other platforms may be missing', async () => {
    const both = index([describeAs(other, { os: 'linux', architecture: 's390x' }), describeAs(ours, HOST)]);
    const [imported] = await importArchive(channel, stream(layout([...ours, both])));
    await collectGarbage(context);
    expect(await getImage(channel, NAME)).toEqual(imported);
  });

  test('other things in an index are passed over', async () => {
    const signature = blob('application/vnd.example.signature', { any: 'thing' });
    const attestation = image({ layers: [layer('attestation')], configType: 'application/vnd.example.config' });
    const all = index([
      signature.descriptor,
      describeAs(attestation, undefined),
      describeAs(attestation, { os: 'unknown', architecture: 'unknown' }),
      describeAs(ours, undefined),
    ]);
    const [imported] = await importArchive(channel, stream(layout([signature, ...attestation, ...ours, all])));
    expect(imported?.manifest.digest).toBe(targetOf(ours).descriptor.digest);
  });

  test('manifests of one name are one image', async () => {
    const manifests = [named(targetOf(other)), named(targetOf(ours))];
    const images = await importArchive(channel, stream(layout([...other, ...ours], { manifests })));
    expect(images).toMatchObject([{ name: NAME, target: { mediaType: `${OCI}.index.v1+json` } }]);
    expect(images[0]?.manifest.digest).toBe(targetOf(ours).descriptor.digest);
    await collectGarbage(context);
    expect(await getImage(channel, NAME)).toEqual(images[0]);
  });

  test('nothing for this machine: says what there is', async () => {
    const only = index([describeAs(other, { os: 'linux', architecture: 's390x' })]);
    const bytes = layout([...other, only]);
    const message = `${NAME} in the archive has nothing for linux/${HOST.architecture}, only for linux/s390x`;
    await expect(importArchive(channel, stream(bytes))).rejects.toMatchObject({ code: 'not-found', message });
    const platform = { os: 'linux', architecture: 's390x' };
    await importArchive(channel, stream(bytes), { platform });
    await expect(getImage(channel, NAME)).rejects.toMatchObject({
      code: 'not-found',
      message: `${NAME} has nothing for linux/${HOST.architecture}, only for linux/s390x`,
    });
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
