import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { ContentService } from '../../src/generated/github.com/containerd/containerd/api/services/content/v1/content.js';
import { getImage, type Image, removeImage } from '../../src/image/image.js';
import { importArchive } from '../../src/image/import.js';
import { pullImage } from '../../src/image/pull.js';
import type { PullProgress } from '../../src/image/pull-options.js';
import { pushImage } from '../../src/image/push.js';
import { prepareRootfs, removeRootfs } from '../../src/image/rootfs.js';
import { Channel } from '../../src/rpc/channel.js';
import { collectGarbage, observeApi } from '../support/api-state.js';
import { buildOciLayout } from '../support/busybox.js';
import { context, onlyOn } from '../support/context.js';
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.js';
import { startRegistry, type TestRegistry } from '../support/registry.js';
import { packTar } from '../support/tar.js';
import { blob, digestOf, HOST, image, layer, OCI, stream, type TestBlob, targetOf } from './archives.js';
import { withMounted } from './mounted.js';
import { publish } from './publish.js';
import { makeTrees, packTree, walkTree } from './source-tree.js';
import { expectNothingStays } from './store.js';

const MIB = 1024 * 1024;
const DOCKER = 'application/vnd.docker';
const channel = new Channel(context);
const directory = mkdtempSync(join(tmpdir(), 'cadre-pull-'));
let registry: TestRegistry;
let proxy: FaultProxy;
beforeAll(async () => {
  registry = await startRegistry();
  proxy = await startFaultProxy(registry.host);
});
afterAll(async () => {
  await proxy.stop();
  await registry.stop();
  channel.close();
  rmSync(directory, { recursive: true });
});
beforeEach(() => proxy.reset());
afterEach(() => expectNothingStays(channel));

function zstd(data: Buffer): Buffer {
  return execFileSync('zstd', ['-1', '-c'], { input: data, maxBuffer: 1024 ** 3 });
}

async function mountImage<T>(pulled: Image, look: (root: string) => T): Promise<T> {
  const mounts = await prepareRootfs(channel, { image: pulled, key: 'look' });
  try {
    return withMounted(mounts, look);
  } finally {
    await removeRootfs(channel, { key: 'look' });
  }
}

test('pushed, removed, pulled: the same image, and the collector keeps all of it and nothing else', async () => {
  const reference = `${registry.host}/team/busybox:1`;
  const archive = buildOciLayout({ layers: 2, files: [{ path: 'more', data: randomBytes(20 * MIB) }] });
  const [imported] = await importArchive(channel, stream(archive), { reference });
  expect(await pushImage(channel, reference)).toEqual({ name: reference, target: imported?.target });
  await removeImage(channel, reference, { sync: true });
  expect((await observeApi(context)).content).toEqual([]);
  const pulled = await pullImage(channel, reference);
  expect(pulled).toEqual(imported);
  await collectGarbage(context);
  expect(await getImage(channel, reference)).toEqual(imported);
  const { content, snapshots, ingests, leases } = await observeApi(context);
  expect([content.length, snapshots.length, ingests, leases]).toEqual([4, 2, [], []]);
  for (const digest of content) {
    const { info } = await channel.unary(ContentService.info, { digest });
    // As containerd's own clients name it, which push by it as well: without the port.
    expect(info?.labels['containerd.io/distribution.source.127.0.0.1']).toBe('team/busybox');
  }
});

test.each<[string, string, number, (data: Buffer) => Buffer]>([
  // Time, three times over; the path is the same.
  ['gzip', '+gzip', context.generation === '2.1' ? 20_000 : 2_000, (data) => gzipSync(data, { level: 1 })],
  ['zstd', '+zstd', 300, zstd],
  ['plain', '', 300, (data) => data],
])('a tree of links, owners, modes and whiteouts is what it was: %s', async (name, suffix, many, compress) => {
  const { layers, merged } = makeTrees(join(directory, name), many);
  const tars = layers.map(packTree);
  const blobs = image({ layers: tars, stored: tars.map(compress), layerType: `${OCI}.layer.v1.tar${suffix}` });
  const reference = await publish(`${registry.host}/tree/${name}:1`, blobs);
  const found = await mountImage(await pullImage(channel, reference), walkTree);
  expect(found.length).toBeGreaterThan(many);
  expect(found).toEqual(walkTree(merged));
});

onlyOn(['2.1'], 'time; the path is the same')('large', () => {
  test('a layer of 512 MiB', async () => {
    const data = Buffer.alloc(512 * MIB);
    const tar = packTar([{ path: 'large', data }]);
    const blobs = image({ layers: [tar], stored: [zstd(tar)], layerType: `${OCI}.layer.v1.tar+zstd` });
    const pulled = await pullImage(channel, await publish(`${registry.host}/large:1`, blobs));
    const found = await mountImage(pulled, (root) => digestOf(readFileSync(join(root, 'large'))));
    expect(found).toBe(digestOf(data));
  });

  test('memory stays flat while 200 MiB come', async () => {
    const reference = await publish(
      `${registry.host}/heavy:1`,
      image({ layers: [packTar([{ path: 'x', data: randomBytes(200 * MIB) }])] }),
    );
    await sleep(100);
    const before = process.memoryUsage().rss;
    let most = before;
    await pullImage(channel, reference, {
      onProgress() {
        most = Math.max(most, process.memoryUsage().rss);
      },
    });
    expect((most - before) / MIB).toBeLessThan(100);
  });
});

test('an index: the platform of this machine, another by name, and both pushed on', async () => {
  const other = HOST.architecture === 'arm64' ? 'amd64' : 'arm64';
  const [mine, theirs] = [
    image(),
    image({ layers: [layer('theirs')], platform: { os: 'linux', architecture: other } }),
  ];
  const manifests = [
    { ...targetOf(theirs).descriptor, platform: { os: 'linux', architecture: other } },
    { ...targetOf(mine).descriptor, platform: HOST },
  ];
  const index = blob(`${OCI}.index.v1+json`, { schemaVersion: 2, mediaType: `${OCI}.index.v1+json`, manifests });
  const reference = await publish(`${registry.host}/multi:1`, [...theirs, ...mine, index]);
  const pulled = await pullImage(channel, reference);
  expect(pulled.target.digest).toBe(index.descriptor.digest);
  expect(pulled.manifest.digest).toBe(targetOf(mine).descriptor.digest);
  await collectGarbage(context);
  expect((await observeApi(context)).content).toHaveLength(5);
  const to = `${registry.host}/copy:1`;
  await expect(pushImage(channel, reference, { to })).rejects.toMatchObject({
    code: 'data-loss',
    message: expect.stringContaining('push one platform'),
  });
  const one = await pushImage(channel, reference, { to, platform: { os: 'linux', architecture: HOST.architecture } });
  expect(one.target.digest).toBe(targetOf(mine).descriptor.digest);
  await pullImage(channel, reference, { platform: { os: 'linux', architecture: other } });
  expect((await pushImage(channel, reference, { to })).target.digest).toBe(index.descriptor.digest);
  await collectGarbage(context);
  expect((await observeApi(context)).content).toHaveLength(8);
});

test("Docker's types, a digest, and a tag with a digest", async () => {
  const types = { layerType: `${DOCKER}.image.rootfs.diff.tar`, configType: `${DOCKER}.container.image.v1+json` };
  const parts = image(types).slice(0, -1);
  const config = parts.at(-1) as TestBlob;
  const mediaType = `${DOCKER}.distribution.manifest.v2+json`;
  const layers = parts.slice(0, -1).map(({ descriptor }) => descriptor);
  const manifest = blob(mediaType, { schemaVersion: 2, mediaType, config: config.descriptor, layers });
  const reference = await publish(`${registry.host}/docker:1`, [...parts, manifest]);
  const { digest } = manifest.descriptor;
  const name = `${registry.host}/docker`;
  for (const each of [reference, `${name}@${digest}`, `${name}:1@${digest}`, `${name}:none@${digest}`]) {
    const pulled = await pullImage(channel, each);
    expect([pulled.name, pulled.target.digest]).toEqual([each, digest]);
  }
  await expect(pullImage(channel, `${name}@sha512:${'0'.repeat(128)}`)).rejects.toMatchObject({
    code: 'invalid-argument',
  });
});

test('progress comes to its end, and what is there is not downloaded again', async () => {
  const blobs = image({ layers: [packTar([{ path: 'some', data: randomBytes(5 * MIB) }]), layer('two')] });
  await publish(`${registry.host}/progress:1`, blobs);
  await publish(`${registry.host}/again:1`, blobs);
  const events: PullProgress[] = [];
  await pullImage(channel, `${proxy.host}/progress:1`, { onProgress: (event) => events.push(event) });
  const total = blobs.slice(0, 2).reduce((sum, { data }) => sum + data.length, 0);
  const downloads = events.filter(({ stage }) => stage === 'download');
  expect(downloads.at(-1)).toMatchObject({ completed: total, total });
  expect(downloads.length).toBeGreaterThan(4);
  expect(events.filter(({ stage }) => stage === 'unpack').at(-1)).toEqual({ stage: 'unpack', completed: 2, total: 2 });
  expect([events[0]?.stage, events.at(-1)?.stage]).toEqual(['resolve', 'done']);
  proxy.reset();
  await pullImage(channel, `${proxy.host}/again:1`);
  expect(proxy.seen.filter(({ url }) => url.includes('/blobs/'))).toEqual([]);
});

test('pulls of one image at once download it once and all succeed', async () => {
  const blobs = image({ layers: [packTar([{ path: 'some', data: randomBytes(16 * MIB) }]), layer('two')] });
  await publish(`${registry.host}/shared:1`, blobs);
  proxy.fault = ({ url }) => (url.includes('/blobs/') ? { bytesPerSecond: 40 * MIB } : undefined);
  const pulls = await Promise.all([1, 2, 3, 4].map(() => pullImage(channel, `${proxy.host}/shared:1`)));
  expect(new Set(pulls.map(({ chainId }) => chainId)).size).toBe(1);
  expect(proxy.blobBytes).toBe(blobs.slice(0, -1).reduce((sum, { data }) => sum + data.length, 0));
});

test('a push mounts what the registry has elsewhere, and sends large blobs in pieces that survive a break', async () => {
  const blobs = image({ layers: [packTar([{ path: 'some', data: randomBytes(20 * MIB) }])] });
  await publish(`${registry.host}/from:1`, blobs);
  await pullImage(channel, `${registry.host}/from:1`);
  const sent = () => proxy.seen.filter(({ method }) => method === 'PATCH' || method === 'PUT');
  let breaks = 0;
  proxy.fault = ({ method, url }) => {
    if (url.includes('mount=')) return { answer: { status: 403 } };
    if (method !== 'PATCH' || breaks === 2) return undefined;
    breaks += 1;
    return { answer: { status: 503, headers: { 'retry-after': '0' } } };
  };
  await pushImage(channel, `${registry.host}/from:1`, { to: `${proxy.host}/pieces:1` });
  expect(sent().filter(({ method }) => method === 'PATCH')).toHaveLength(5);
  proxy.reset();
  await pullImage(channel, `${proxy.host}/pieces:1`);
  await pushImage(channel, `${proxy.host}/pieces:1`, { to: `${proxy.host}/mounted:1` });
  expect(sent().map(({ method, url }) => `${method} ${url}`)).toEqual(['PUT /v2/mounted/manifests/1']);
});
