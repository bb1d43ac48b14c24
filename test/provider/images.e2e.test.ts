import { afterEach, describe, expect, test } from 'vitest';
import type { StoredImage } from '../../src/index.js';
import { HOST, image, layer, layout, named, stream, targetOf } from '../image/archives.js';
import { collectGarbage, observeApi } from '../support/api-state.js';
import { buildOciLayout } from '../support/busybox.js';
import { context } from '../support/context.js';
import { openProvider } from '../support/provider.js';

const provider = await openProvider();
const { images } = provider;
const busybox = context.images.reference;

afterEach(async () => {
  for await (const { name } of images.list()) if (name !== busybox) await images.remove(name, { force: true });
  await collectGarbage(context);
});

async function list(): Promise<StoredImage[]> {
  const found: StoredImage[] = [];
  for await (const stored of images.list()) found.push(stored);
  return found;
}

test('a name is listed, exists, is given another, and goes', async () => {
  const started = Date.now();
  await images.tag(busybox, 'mine/busybox');
  const [mine, original, ...more] = await list();
  expect([mine?.name, original?.name, more]).toEqual(['docker.io/mine/busybox:latest', busybox, []]);
  expect(mine?.target).toEqual(original?.target);
  expect(mine?.createdAt.getTime()).toBeGreaterThanOrEqual(started - 1);
  expect(mine).not.toHaveProperty('origin');
  expect(await images.exists('mine/busybox')).toBe(true);
  await images.remove('mine/busybox', { sync: true });
  expect(await images.exists('mine/busybox')).toBe(false);
  await expect(images.remove('mine/busybox')).rejects.toMatchObject({ code: 'not-found' });
  await expect(images.tag('mine/busybox', 'other')).rejects.toMatchObject({ code: 'not-found' });
  await expect(images.tag(busybox, 'Bad')).rejects.toMatchObject({ code: 'invalid-argument' });
  expect((await images.inspect(busybox)).platforms[0]?.isComplete).toBe(true);
});

describe('inspect', () => {
  test('layers, sizes, config and history', async () => {
    const config = { User: 'agent', Labels: { team: 'a' } };
    const bytes = buildOciLayout({ reference: 'two:1', layers: 2, files: [{ path: 'second', data: '2' }], config });
    const [imported] = await images.import(stream(bytes));
    const details = await images.inspect('two:1');
    expect(details).toMatchObject({ name: 'docker.io/library/two:1', target: imported?.target });
    expect(details.platforms).toHaveLength(1);
    const [only] = details.platforms;
    const { layers = [], history, contentBytes, unpackedBytes } = only ?? {};
    expect(only).toMatchObject({ platform: HOST, isComplete: true, config, manifest: imported?.manifest });
    expect(history).toHaveLength(2);
    expect(layers.map(({ diffId }) => diffId)).toEqual(imported?.diffIds);
    const { content } = await observeApi(context);
    for (const { digest } of layers) expect(content).toContain(digest);
    expect(contentBytes).toBeGreaterThan(layers.reduce((sum, { size }) => sum + size, 0));
    // The busybox of the first layer is there uncompressed.
    expect(unpackedBytes).toBeGreaterThan(1_000_000);
  });

  test('an index: what is there of each platform, what is not, and no attestations', async () => {
    const [here, there] = [
      image({ layers: [layer('a')] }),
      image({ layers: [layer('b')], platform: { os: 'linux', architecture: 's390x' } }),
    ];
    const attestation = image({ config: {}, configType: 'application/vnd.in-toto+json' });
    const manifests = [
      { ...named(targetOf(here), 'multi:1'), platform: HOST },
      { ...named(targetOf(there), 'multi:1'), platform: { os: 'linux', architecture: 's390x' } },
      { ...named(targetOf(attestation), 'multi:1') },
    ];
    await images.import(stream(layout([...here, ...attestation], { manifests })));
    const { platforms } = await images.inspect('multi:1');
    expect(platforms.map(({ platform, isComplete }) => [platform.architecture, isComplete])).toEqual([
      [HOST.architecture, true],
      ['s390x', false],
    ]);
    expect(platforms[1]).not.toHaveProperty('layers');
  });
});

describe('an image in use', () => {
  test('is kept unless forced, and then the session runs on and keeps what it needs', async () => {
    await images.tag(busybox, 'used');
    await using session = await provider.createSession({ image: 'used' });
    await expect(images.remove('used')).rejects.toMatchObject({
      code: 'failed-precondition',
      message: `image docker.io/library/used:latest is in use by ${session.sessionId}: destroy what uses it, or remove it with force`,
    });
    await images.remove('used', { force: true, sync: true });
    expect(await images.exists('used')).toBe(false);
    expect(await session.exec('echo', ['still'])).toMatchObject({ stdout: 'still\n' });
  });
});
