import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterEach, describe, expect, test } from 'vitest';
import { ContentService } from '../../src/generated/github.com/containerd/containerd/api/services/content/v1/content.js';
import { Channel } from '../../src/rpc/channel.js';
import { collectGarbage, observeApi } from '../support/api-state.js';
import { buildOciLayout } from '../support/busybox.js';
import { findContainerd } from '../support/containerd-binary.js';
import { context } from '../support/context.js';
import { nameNamespace } from '../support/daemon.js';
import { openProvider } from '../support/provider.js';
import { packTar } from '../support/tar.js';
import { HOST, image, layer, layout, named, stream, targetOf } from './archives.js';

const { images } = await openProvider();
const busybox = context.images.reference;
const second = 'registry.test/second:2';
await images.import(stream(buildOciLayout({ reference: second, layers: 2, files: [{ path: 'second', data: '2' }] })));

/** Another namespace, which shares no image with this one. */
async function openOther(): Promise<{ namespace: string; images: typeof images }> {
  const namespace = nameNamespace();
  const provider = await openProvider({ namespace });
  await provider.images.remove(busybox, { sync: true });
  return { namespace, images: provider.images };
}

afterEach(async () => {
  const { leases, ingests } = await observeApi(context);
  expect({ leases, ingests }).toEqual({ leases: [], ingests: [] });
});

/** The programs of this generation, as judges. */
function ctr(namespace: string, ...args: string[]): string {
  const program = join(findContainerd(context.generation).directory, 'ctr');
  return execFileSync(program, ['--address', context.address, '--namespace', namespace, ...args], { encoding: 'utf8' });
}

describe('two images in one archive', async () => {
  const archive = await buffer(images.export([busybox, second]));

  test('are the same, whatever is exported when', async () => {
    expect(Buffer.compare(archive, await buffer(images.export([busybox, second, busybox])))).toBe(0);
  });

  test('come back under their names with equal digests, and run', async () => {
    const other = await openOther();
    const imported = await other.images.import(stream(archive));
    expect(imported.map(({ name }) => name)).toEqual([busybox, second]);
    for (const { name, target } of imported) {
      const { target: original, platforms } = await images.inspect(name);
      expect(target).toEqual(original);
      expect((await other.images.inspect(name)).platforms).toEqual(platforms);
    }
    await collectGarbage({ ...context, namespace: other.namespace });
    expect((await other.images.inspect(second)).platforms[0]?.isComplete).toBe(true);
  });

  test("are imported and run by containerd's own client", () => {
    const namespace = nameNamespace();
    const path = join(context.root, `${namespace}.tar`);
    writeFileSync(path, archive);
    ctr(namespace, 'images', 'import', path);
    expect(ctr(namespace, 'images', 'list', '--quiet').trim().split('\n').sort()).toEqual([busybox, second]);
    const fifos = join(context.root, 'fifos');
    expect(ctr(namespace, 'run', '--rm', '--fifo-dir', fifos, second, namespace, 'cat', '/second')).toBe('2');
    ctr(namespace, 'images', 'remove', '--sync', busybox, second);
  });

  test('are a docker-archive as well', async () => {
    const directory = mkdtempSync(join(context.root, 'docker-form-'));
    execFileSync('tar', ['-xC', directory], { input: archive });
    const path = join(directory, 'docker.tar');
    execFileSync('tar', ['-cf', path, '-C', directory, 'manifest.json', 'blobs']);
    const other = await openOther();
    const imported = await other.images.import(path);
    expect(imported.map(({ name }) => name)).toEqual([busybox, second]);
    for (const { name, configDigest, layers } of imported) {
      const [original] = (await images.inspect(name)).platforms;
      expect(layers).toMatchObject((original?.layers ?? []).map(({ digest }) => ({ digest })));
      expect((await other.images.inspect(name)).platforms[0]?.config).toEqual(original?.config);
      expect((await observeApi(context)).content).toContain(configDigest);
    }
  });
});

test('an index keeps its digest with the platforms that are there; one platform is its manifest', async () => {
  const foreign = { os: 'linux', architecture: 's390x' };
  const [here, there, lost] = [
    image({ layers: [layer('a')] }),
    image({ layers: [layer('b')], platform: foreign }),
    image({ layers: [layer('c')], platform: { os: 'linux', architecture: 'riscv64' } }),
  ];
  const manifests = [here, there, lost].map((blobs) => named(targetOf(blobs), 'multi:1'));
  const platforms = [HOST, foreign, { os: 'linux', architecture: 'riscv64' }];
  const described = manifests.map((manifest, i) => ({ ...manifest, platform: platforms[i] }));
  const [whole] = await images.import(stream(layout([...here, ...there], { manifests: described })));

  const other = await openOther();
  const [again] = await other.images.import(images.export('multi:1'));
  expect(again).toEqual(whole);
  const { platforms: found } = await other.images.inspect('multi:1');
  expect(found.map(({ isComplete }) => isComplete)).toEqual([true, true, false]);

  const one = await other.images.import(images.export('multi:1', { platform: foreign }), { platform: foreign });
  expect(one[0]?.target.digest).toBe(targetOf(there).descriptor.digest);
  await expect(
    buffer(images.export('multi:1', { platform: { os: 'linux', architecture: 'mips' } })),
  ).rejects.toMatchObject({
    code: 'not-found',
    message: expect.stringContaining('nothing for linux/mips'),
  });
  await images.remove('multi:1', { sync: true });
});

test('what cannot be exported is said before the first byte', async () => {
  await expect(buffer(images.export('nothing'))).rejects.toMatchObject({ code: 'not-found' });
  await expect(buffer(images.export([]))).rejects.toMatchObject({ code: 'invalid-argument' });
  const [broken] = await images.import(stream(layout(image({ layers: [layer('gone')] }))), { reference: 'broken' });
  const digest = broken?.layers[0]?.digest ?? '';
  const channel = new Channel(context);
  await channel.unary(ContentService.delete, { digest });
  channel.close();
  const chunks: unknown[] = [];
  const reading = (async () => {
    for await (const chunk of images.export('broken')) chunks.push(chunk);
  })();
  await expect(reading).rejects.toMatchObject({
    code: 'data-loss',
    message: `${digest} of docker.io/library/broken:latest is missing`,
  });
  expect(chunks).toEqual([]);
  await images.remove('broken', { sync: true });
});

test('a reader that leaves in the middle leaves no lease; content that is being read outlives its name', async () => {
  for await (const chunk of images.export(busybox)) {
    expect(chunk.length).toBeGreaterThan(0);
    break;
  }
  const big = randomBytes(24 * 1024 * 1024);
  const blobs = image({ layers: [packTar([{ path: 'big', data: big }])] });
  await images.import(stream(layout(blobs)), { reference: 'reading' });
  const reading = images.export('reading');
  const chunks = [(await reading[Symbol.asyncIterator]().next()).value as Buffer];
  await images.remove('reading', { sync: true });
  for await (const chunk of reading) chunks.push(chunk);
  expect(Buffer.concat(chunks).includes(big)).toBe(true);
  await expect.poll(async () => (await observeApi(context)).leases).toEqual([]);
  await collectGarbage(context);
  expect((await observeApi(context)).content).not.toContain(targetOf(blobs).descriptor.digest);
});
