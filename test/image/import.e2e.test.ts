import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { getImage, removeImage } from '../../src/image/image.js';
import { importArchive } from '../../src/image/import.js';
import { prepareRootfs, removeRootfs } from '../../src/image/rootfs.js';
import { Channel } from '../../src/rpc/channel.js';
import { observeApi } from '../support/api-state.js';
import { BUSYBOX_REFERENCE, buildDockerArchive, buildOciLayout } from '../support/busybox.js';
import { context } from '../support/context.js';

const channel = new Channel(context);
afterAll(() => channel.close());

const nothing = { containers: [], tasks: [], snapshots: [], leases: [], images: [], content: [], ingests: [] };

const forms = {
  'docker-archive': buildDockerArchive({ layers: 2, files: [{ path: 'second', data: '2' }] }),
  'OCI layout': buildOciLayout({ layers: 2, files: [{ path: 'second', data: '2' }] }),
};

describe.each(Object.entries(forms))('%s', (_, archive) => {
  test.each([
    ['plain', archive],
    ['gzip', gzipSync(archive)],
  ])('%s: import, get, prepare, remove', async (_, bytes) => {
    const [image] = await importArchive(channel, Readable.from(bytes, { objectMode: false }));
    expect(image?.name).toBe(BUSYBOX_REFERENCE);
    expect(await getImage(channel, BUSYBOX_REFERENCE)).toEqual(image);
    if (image === undefined) throw new Error('unreachable');
    const mounts = await prepareRootfs(channel, { image, key: 'rootfs' });
    expect(mounts).toMatchObject([{ type: 'overlay' }]);
    await removeRootfs(channel, { key: 'rootfs' });
    await removeRootfs(channel, { key: 'rootfs' });
    expect((await observeApi(context)).leases).toEqual([]);
    await removeImage(channel, BUSYBOX_REFERENCE, { sync: true });
    expect(await observeApi(context)).toEqual(nothing);
  });
});
