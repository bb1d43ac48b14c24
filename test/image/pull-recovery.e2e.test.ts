/** Pulls whose process, daemon or disk comes to an end. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { ContentService } from '../../src/generated/github.com/containerd/containerd/api/services/content/v1/content.js';
import { findImage } from '../../src/image/image.js';
import { pullImage } from '../../src/image/pull.js';
import { isSoak, openPrivateHost } from '../session/recovery/private.js';
import { createRandom, seed } from '../session/recovery/seed.js';
import { Worker } from '../session/recovery/worker.js';
import { collectGarbage, observeApi } from '../support/api-state.js';
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.js';
import { startRegistry, type TestRegistry } from '../support/registry.js';
import { packTar } from '../support/tar.js';
import { image, layer, targetOf } from './archives.js';
import { publish } from './publish.js';

const MIB = 1024 * 1024;
/** Thirty over the three generations. */
const KILLS = isSoak ? 60 : 10;
/** At what the proxy lets through, the whole pull takes about this long, in ms. */
const PULL_MS = 900;

const { daemon, scope, options, provider, channel, reapAll } = await openPrivateHost();
const app = image({ layers: [1, 2, 3].map((i) => packTar([{ path: `file-${i}`, data: randomBytes(12 * MIB) }])) });
const total = app.slice(0, -1).reduce((sum, { data }) => sum + data.length, 0);
let registry: TestRegistry;
let proxy: FaultProxy;
let reference: string;
beforeAll(async () => {
  registry = await startRegistry();
  proxy = await startFaultProxy(registry.host);
  await publish(`${registry.host}/app:1`, app);
  reference = `${proxy.host}/app:1`;
});
afterAll(async () => {
  await proxy.stop();
  await registry.stop();
});
beforeEach(() => proxy.reset());

/** Bytes of layers that the daemon has and that are not whole yet. */
async function countWritten(): Promise<number> {
  const { statuses } = await channel.unary(ContentService.listStatuses, { filters: [] });
  return statuses.reduce((sum, { offset }) => sum + Number(offset), 0);
}

test(`our process killed ${KILLS} times in a pull, seed ${seed}`, { timeout: 300_000 }, async () => {
  const random = createRandom(seed);
  const before = await observeApi(scope);
  const throttle = ({ url }: { url: string }) => (url.includes('/blobs/') ? { bytesPerSecond: 12 * MIB } : undefined);
  proxy.fault = throttle;
  let next = new Worker(options);
  let whole = 0;
  for (let kill = 0; kill < KILLS; kill += 1) {
    const worker = next;
    await worker.tell('reap');
    const pulling = worker.tell('pull', reference).catch(() => undefined);
    if (kill < KILLS - 1) next = new Worker(options);
    await sleep(random() * PULL_MS);
    await worker.kill();
    await pulling;
    const { images } = await observeApi(scope);
    if (!images.includes(reference)) continue;
    // Whoever sees the name has the whole image.
    whole += 1;
    await collectGarbage(scope);
    expect((await observeApi(scope)).content).toEqual(
      expect.arrayContaining(app.map(({ descriptor }) => descriptor.digest)),
    );
    await provider.images.remove(reference, { sync: true });
  }
  expect(whole).toBeLessThan(KILLS);
  proxy.fault = () => undefined;
  const pulled = await provider.pull(reference);
  expect(pulled.target.digest).toBe(targetOf(app).descriptor.digest);
  await provider.images.remove(reference, { sync: true });
  await reapAll();
  await collectGarbage(scope);
  expect(await observeApi(scope)).toEqual(before);
});

test('what a killed process had downloaded is not downloaded again', async () => {
  proxy.fault = ({ url }) => (url.includes('/blobs/') ? { bytesPerSecond: 8 * MIB } : undefined);
  const worker = new Worker(options);
  worker.tell('pull', reference).catch(() => undefined);
  while ((await countWritten()) < 12 * MIB) await sleep(20);
  await worker.kill();
  const served = proxy.blobBytes;
  proxy.fault = () => undefined;
  await provider.pull(reference);
  // Of what a daemon still brought meanwhile it keeps all but the last MiB of each of the three.
  expect(proxy.blobBytes - served).toBeLessThan(total - 8 * MIB);
  expect(proxy.seen.filter(({ range }) => range !== undefined).length).toBeGreaterThan(0);
  await provider.images.remove(reference, { sync: true });
  // The dead one's lease holds what it had brought.
  await reapAll();
  await collectGarbage(scope);
});

test('two processes share a pull', async () => {
  proxy.fault = ({ url }) => (url.includes('/blobs/') ? { bytesPerSecond: 12 * MIB } : undefined);
  await using one = new Worker(options);
  await using two = new Worker(options);
  await Promise.all([one.tell('reap'), two.tell('reap')]);
  const digests = await Promise.all([one.tell('pull', reference), two.tell('pull', reference)]);
  expect(digests).toEqual(Array(2).fill(targetOf(app).descriptor.digest));
  expect(proxy.blobBytes).toBe(total);
  await provider.images.remove(reference, { sync: true });
});

test('the policies missing, always and never', async () => {
  const manifests = () => proxy.seen.filter(({ url }) => url.includes('/manifests/')).length;
  const busybox = `${proxy.host}/busybox:1`;
  await provider.images.push(options.image, { to: busybox });
  proxy.reset();
  await expect(provider.createSession({ image: busybox, pull: 'never' })).rejects.toMatchObject({ code: 'not-found' });
  expect(proxy.seen).toEqual([]);
  const stages: string[] = [];
  const onProgress = ({ stage }: { stage: string }) => stages.push(stage);
  for (const [pull, asked] of [
    ['missing', 1],
    ['missing', 1],
    ['always', 2],
    ['never', 2],
  ] as const) {
    await using session = await provider.createSession({ image: busybox, pull, onProgress });
    expect((await session.exec('echo', ['ran'])).stdout).toBe('ran\n');
    expect(manifests()).toBe(asked);
  }
  expect(stages).toContain('done');
  const pulling = provider.images.watchPull(busybox);
  const watched: string[] = [];
  for await (const { stage } of pulling) watched.push(stage);
  expect([watched.at(-1), (await pulling.image).name]).toEqual(['done', busybox]);
  await expect(provider.createSession({ image: `${proxy.host}/busybox:2` })).rejects.toMatchObject({
    code: 'not-found',
    message: expect.stringContaining('and it cannot be pulled'),
    cause: { code: 'not-found' },
  });
  await provider.images.remove(busybox, { sync: true });
});

test('a full disk is told, leaves nothing, and the next pull succeeds', async () => {
  const root = join(scope.root, 'root');
  await daemon.kill9();
  // Goes with the daemon.
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', root]);
  await daemon.restart();
  const before = await observeApi(scope);
  const small = image({ layers: [layer('small')] });
  await publish(`${registry.host}/small:1`, small);
  const layers = [packTar([{ path: 'half', data: Buffer.alloc(14 * MIB, 'x') }])];
  await publish(`${registry.host}/half:1`, image({ layers }));
  // Of the first the download does not fit; of the second what it unpacks to.
  for (const name of ['app', 'half']) {
    await expect(pullImage(channel, `${registry.host}/${name}:1`)).rejects.toMatchObject({
      code: 'resource-exhausted',
    });
    await expect(findImage(channel, `${registry.host}/${name}:1`)).rejects.toMatchObject({ code: 'not-found' });
    await collectGarbage(scope);
    expect({ ...(await observeApi(scope)), ingests: [] }).toEqual({ ...before, ingests: [] });
  }
  await pullImage(channel, `${registry.host}/small:1`);
});
