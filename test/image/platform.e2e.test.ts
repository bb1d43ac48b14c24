import { afterAll, afterEach, expect, test } from 'vitest';
import { getImage } from '../../src/image/image.js';
import { importArchive } from '../../src/image/import.js';
import { Channel } from '../../src/rpc/channel.js';
import { collectGarbage, observeApi } from '../support/api-state.js';
import { context } from '../support/context.js';
import { blob, HOST, image, layer, layout, NAME, named, OCI, stream, targetOf } from './archives.js';
import { expectNothingStays } from './store.js';

const channel = new Channel(context);
afterEach(() => expectNothingStays(channel));
afterAll(() => channel.close());

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

test('indexes that name each other twice, level after level, are each read once', async () => {
  let top = index([describeAs(ours, HOST)]);
  const blobs = [...ours, top];
  for (let level = 0; level < 40; level += 1) {
    top = index([top.descriptor, top.descriptor]);
    blobs.push(top);
  }
  const [imported] = await importArchive(channel, stream(layout(blobs)));
  expect(imported?.manifest.digest).toBe(targetOf(ours).descriptor.digest);
  await collectGarbage(context);
  expect((await observeApi(context)).content).toHaveLength(blobs.length);
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
