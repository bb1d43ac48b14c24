import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { getImage, removeImage } from '../../src/image/image.js';
import { importArchive } from '../../src/image/import.js';
import { pullImage } from '../../src/image/pull.js';
import { pushImage } from '../../src/image/push.js';
import { Channel } from '../../src/rpc/channel.js';
import { collectGarbage, observeApi } from '../support/api-state.js';
import { buildOciLayout } from '../support/busybox.js';
import { context } from '../support/context.js';
import { startRegistry, type TestRegistry } from '../support/registry.js';
import { stream } from './archives.js';
import { expectNothingStays } from './store.js';

const channel = new Channel(context);
afterAll(() => channel.close());
let registry: TestRegistry;
beforeAll(async () => {
  registry = await startRegistry();
});
afterAll(() => registry.stop());
afterEach(() => expectNothingStays(channel));

test('pushed, removed, pulled: the same image', async () => {
  const reference = `${registry.host}/team/busybox:1`;
  const archive = buildOciLayout({ layers: 2, files: [{ path: 'more', data: Buffer.alloc(20_000_000, 'x') }] });
  const [imported] = await importArchive(channel, stream(archive), { reference });
  expect(await pushImage(channel, reference)).toEqual({ name: reference, target: imported?.target });
  await removeImage(channel, reference, { sync: true });
  expect((await observeApi(context)).content).toEqual([]);
  const pulled = await pullImage(channel, reference);
  expect(pulled).toEqual(imported);
  await collectGarbage(context);
  expect(await getImage(channel, reference)).toEqual(imported);
  expect((await observeApi(context)).ingests).toEqual([]);
});
