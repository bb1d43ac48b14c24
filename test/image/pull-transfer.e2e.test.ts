/** Pulls whose layers the daemon downloads by itself. Its ends, kills and full disks are in pull-recovery, over the same image. */
import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { pullImage } from '../../src/image/pull.js';
import type { PullOptions, PullProgress } from '../../src/image/pull-options.js';
import { findSnapshot } from '../../src/image/snapshot.js';
import { Channel } from '../../src/rpc/channel.js';
import { collectGarbage, observeApi } from '../support/api-state.js';
import { context, onlyOn } from '../support/context.js';
import { type Fault, type FaultProxy, type SeenRequest, startFaultProxy } from '../support/fault-proxy.js';
import { startRegistry, type TestRegistry } from '../support/registry.js';
import { packTar } from '../support/tar.js';
import { image, layer, targetOf } from './archives.js';
import { publish } from './publish.js';
import { EMPTY_STATE, expectNothingStays } from './store.js';

const MIB = 1024 * 1024;
const transferred = onlyOn(['2.1'], 'earlier ones have no Transfer service, or none for a registry without TLS');

transferred('layers that the daemon downloads', () => {
  const channel = new Channel(context);
  const app = image({ layers: [1, 2, 3].map((i) => packTar([{ path: `file-${i}`, data: randomBytes(12 * MIB) }])) });
  const layers = app.slice(0, 3).map(({ descriptor }) => descriptor);
  const [, spoiled = ''] = layers.map(({ digest }) => digest);
  const total = layers.reduce((sum, { size }) => sum + size, 0);
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
    channel.close();
  });
  beforeEach(() => proxy.reset());
  afterEach(() => expectNothingStays(channel));

  const isLayer = ({ method, url }: SeenRequest) =>
    method === 'GET' && layers.some(({ digest }) => url.includes(digest));
  const isSpoiled = ({ method, url }: SeenRequest) => method === 'GET' && url.includes(spoiled);
  const isDaemon = ({ agent }: SeenRequest) => agent.startsWith('containerd/');
  const options: PullOptions = { registry: { retries: 1 } };

  async function expectSuccess(given: PullOptions = options): Promise<void> {
    expect((await pullImage(channel, reference, given)).target.digest).toBe(targetOf(app).descriptor.digest);
    await collectGarbage(context);
    const { content, ingests, snapshots, leases } = await observeApi(context);
    expect([content.length, ingests, snapshots.length, leases]).toEqual([app.length, [], 3, []]);
  }

  async function expectFailure(expected: object, given: PullOptions = options): Promise<void> {
    await expect(pullImage(channel, reference, given)).rejects.toMatchObject({ name: 'DriverError', ...expected });
    expect({ ...(await observeApi(context)), ingests: [] }).toEqual(EMPTY_STATE);
  }

  test('come once, by itself alone, and are told as they come', async () => {
    const told: PullProgress[] = [];
    proxy.fault = (seen) => (isLayer(seen) ? { bytesPerSecond: 16 * MIB } : undefined);
    await expectSuccess({ ...options, onProgress: (progress) => told.push(progress) });
    expect(proxy.seen.filter(isLayer).map(isDaemon)).toEqual([true, true, true]);
    const downloads = told.filter(({ stage }) => stage === 'download').map(({ completed }) => completed);
    expect(downloads).toEqual(downloads.toSorted((a, b) => a - b));
    expect(downloads.at(-1)).toBe(total);
    expect(downloads.filter((bytes) => bytes > 0 && bytes < total).length).toBeGreaterThan(2);
    expect(told.at(-1)).toMatchObject({ stage: 'done' });
    proxy.reset();
    await expectSuccess();
    expect(proxy.seen.filter(isLayer)).toEqual([]);
  });

  test('leave two writes to the daemon: each waits for the disk that they are on their way to', async () => {
    const unary = vi.spyOn(Channel.prototype, 'unary');
    try {
      await pullImage(channel, reference, options);
      const calls = unary.mock.calls.map(([{ path }]) => path.split('.').at(-1));
      const behind = calls.slice(calls.indexOf('Transfer/Transfer') + 1);
      expect(
        behind.filter((call) => /(AddResource|Create|Delete|Update|Remove|Prepare|Commit)$/.test(call ?? '')),
      ).toEqual(['Images/Create', 'Leases/Delete']);
    } finally {
      unary.mockRestore();
    }
    await expectSuccess();
  });

  test('go on after a break', async () => {
    let cuts = 0;
    proxy.fault = (seen) => {
      if (!isSpoiled(seen) || cuts === 2) return undefined;
      cuts += 1;
      return { cutAfter: 5 * MIB };
    };
    await expectSuccess();
    expect(cuts).toBe(2);
    expect(proxy.blobBytes).toBeLessThan(total + 4 * MIB);
  });

  test.each<[string, (seen: SeenRequest) => Fault | undefined]>([
    ['is refused the manifest', ({ url }) => (url.includes('/manifests/') ? { answer: { status: 403 } } : undefined)],
    ['is given wrong bytes', (seen) => (isSpoiled(seen) ? { flipAt: MIB } : undefined)],
    [
      'is given too many bytes',
      (seen) => (isSpoiled(seen) ? { rewrite: (data) => Buffer.concat([data, data]) } : undefined),
    ],
    ['is given no bytes', (seen) => (isSpoiled(seen) ? { silent: true } : undefined)],
  ])('come without the daemon when it %s', async (_, fault) => {
    proxy.fault = (seen) => (isDaemon(seen) ? fault(seen) : undefined);
    await expectSuccess({ registry: { retries: 3, stallTimeoutMs: 2000 } });
    expect(proxy.seen.some(isDaemon)).toBe(true);
    expect(proxy.seen.filter(isLayer).some((seen) => !isDaemon(seen))).toBe(true);
  });

  test.each<[string, Fault, object]>([
    ['gone', { answer: { status: 404 } }, { code: 'not-found' }],
    ['wrong', { flipAt: 5 * MIB }, { code: 'data-loss' }],
    ['too many', { rewrite: (data) => Buffer.concat([data, data]) }, { code: 'data-loss' }],
    ['stuck', { silent: true }, { code: 'deadline-exceeded' }],
  ])('that are %s fail as they do without it, and the next pull succeeds', async (_, fault, expected) => {
    proxy.fault = (seen) => (isSpoiled(seen) ? fault : undefined);
    await expectFailure(expected, { registry: { retries: 0, stallTimeoutMs: 2000 } });
    proxy.reset();
    await expectSuccess();
  });

  test('are within their budgets', async () => {
    await expectFailure({ code: 'resource-exhausted' }, { ...options, maxBytes: total - 1 });
    expect(proxy.seen.filter(isLayer)).toEqual([]);
    await expectFailure({ code: 'resource-exhausted' }, { ...options, maxUnpackedBytes: 20 * MIB });
  });

  test('of another machine are unpacked by us', async () => {
    const platform = { os: 'linux', architecture: 's390x' };
    const foreign = image({ layers: app.slice(0, 3).map(({ data }) => data), platform });
    await publish(`${registry.host}/foreign:1`, foreign);
    const pulled = await pullImage(channel, `${proxy.host}/foreign:1`, { ...options, platform });
    expect(await findSnapshot(channel, 'overlayfs', pulled.chainId)).toBeDefined();
    expect(proxy.seen.filter(isLayer).map(isDaemon)).toEqual([true, true, true]);
  });

  test('that are not what the config says are refused by name', async () => {
    const [first, ...rest] = app.slice(0, 3).map(({ data }) => data) as [Buffer, Buffer, Buffer];
    await publish(`${registry.host}/lie:1`, image({ layers: [layer('another'), ...rest], stored: [first, ...rest] }));
    const refused = { code: 'data-loss', message: expect.stringContaining('its config says') as string };
    await expect(pullImage(channel, `${proxy.host}/lie:1`, options)).rejects.toMatchObject(refused);
    expect(proxy.seen.some(isDaemon)).toBe(true);
    expect({ ...(await observeApi(context)), ingests: [] }).toEqual(EMPTY_STATE);
    // Of the same layers, which takes what was half-written.
    await expectSuccess();
  });

  test('are gone on with after a cancellation', async () => {
    proxy.fault = (seen) => (isLayer(seen) ? { bytesPerSecond: 8 * MIB } : undefined);
    const ended = new AbortController();
    const onProgress = ({ completed, stage }: PullProgress) => {
      if (stage === 'download' && completed > 14 * MIB) ended.abort();
    };
    await expectFailure({ code: 'canceled' }, { ...options, onProgress, signal: ended.signal });
    await collectGarbage(context);
    expect((await observeApi(context)).ingests).toHaveLength(3);
    proxy.reset();
    await expectSuccess();
    expect(proxy.seen.filter(isLayer).map(({ range }) => range === undefined)).not.toContain(true);
    expect(proxy.blobBytes).toBeLessThan(total - 8 * MIB);
  });

  test('canceled at any moment leave nothing', async () => {
    proxy.fault = (seen) => (isLayer(seen) ? { bytesPerSecond: 40 * MIB } : undefined);
    for (const ms of [20, 60, 120, 200, 300]) {
      await expectFailure({ code: 'canceled' }, { ...options, signal: AbortSignal.timeout(ms) });
    }
    proxy.reset();
    await expectSuccess();
  });

  test('are ours to download where a number at once is asked for', async () => {
    await expectSuccess({ ...options, concurrency: 2 });
    expect(proxy.seen.some(isDaemon)).toBe(false);
  });

  test('are ours to download where credentials are wanted, which the daemon never sees', async () => {
    const basic = { username: 'robot', password: 'planted-4712' };
    const closed = await startRegistry({ basic });
    const guard = await startFaultProxy(closed.host);
    const given = { credentials: { [closed.host]: basic, [guard.host]: basic } };
    try {
      await publish(`${closed.host}/app:1`, app, given);
      const pulled = await pullImage(channel, `${guard.host}/app:1`, { registry: given });
      expect(pulled.target.digest).toBe(targetOf(app).descriptor.digest);
      expect(guard.seen.some(isDaemon)).toBe(false);
    } finally {
      await guard.stop();
      await closed.stop();
    }
  });
});
