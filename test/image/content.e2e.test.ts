import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, expect, test } from 'vitest';
import { ContentService } from '../../src/generated/github.com/containerd/containerd/api/services/content/v1/content.js';
import { readBlob, setLabels } from '../../src/image/content.js';
import { type BlobSource, writeBlob } from '../../src/image/content-write.js';
import { withOwnLease } from '../../src/image/lease.js';
import { Channel } from '../../src/rpc/channel.js';
import { observeApi } from '../support/api-state.js';
import { context } from '../support/context.js';
import { nameNamespace } from '../support/daemon.js';
import { digestOf } from './archives.js';
import { expectNothingStays } from './store.js';

const channel = new Channel(context);
afterEach(() => expectNothingStays(channel));
afterAll(() => channel.close());

const bytes = randomBytes(3_500_000);
const digest = digestOf(bytes);

async function* inChunks(data: Uint8Array, size = 100_000) {
  for (let i = 0; i < data.length; i += size) yield data.subarray(i, i + size);
}

const source = (more: Partial<BlobSource> = {}): BlobSource => ({ data: inChunks(bytes), subject: 'blob', ...more });

async function readLabels(of: string) {
  return (await channel.unary(ContentService.info, { digest: of })).info?.labels;
}

test.each([
  ['nothing', {}],
  ['its size', { size: bytes.length }],
  ['its digest', { digest }],
  ['both', { digest, size: bytes.length }],
])('a blob of which is known: %s', async (_, known) => {
  await withOwnLease(channel, async (leased) => {
    expect(await writeBlob(leased, source(known))).toEqual({ digest, size: bytes.length });
    expect(digestOf(await readBlob(channel, digest))).toBe(digest);
    const { content, ingests } = await observeApi(context);
    expect(content).toEqual([digest]);
    expect(ingests).toEqual([]);
  });
});

test('an empty blob', async () => {
  await withOwnLease(channel, async (leased) => {
    const blob = await writeBlob(leased, { data: inChunks(Buffer.alloc(0)), subject: 'nothing', size: 0 });
    expect(blob).toEqual({ digest: digestOf(Buffer.alloc(0)), size: 0 });
    expect(await readBlob(channel, blob.digest)).toHaveLength(0);
  });
});

test('a blob that is there is success, read or not, and gets the labels', async () => {
  await withOwnLease(channel, async (leased) => {
    await writeBlob(leased, source({ labels: { first: '1', both: '1' } }));
    expect(await readLabels(digest)).toEqual({ first: '1', both: '1' });
    expect(await writeBlob(leased, source({ digest, size: bytes.length, labels: { both: '2' } }))).toMatchObject({
      digest,
    });
    expect(await writeBlob(leased, source({ labels: { second: '2' } }))).toMatchObject({ digest });
    expect(await readLabels(digest)).toEqual({ first: '1', both: '2', second: '2' });
    await setLabels(channel, digest, {});
    expect((await observeApi(context)).ingests).toEqual([]);
  });
});

test('a blob of another namespace is taken over without sending it', async () => {
  const other = new Channel({ ...context, namespace: nameNamespace() });
  try {
    await withOwnLease(other, async (there) => {
      await writeBlob(there, source());
      await withOwnLease(channel, async (here) => {
        // biome-ignore lint/correctness/useYield: fails when it is read
        const unread = (async function* () {
          throw new Error('was read');
        })();
        const blob = await writeBlob(here, source({ data: unread, digest, size: bytes.length }));
        expect(blob).toEqual({ digest, size: bytes.length });
        expect(digestOf(await readBlob(channel, digest))).toBe(digest);
      });
    });
    await expectNothingStays(other);
  } finally {
    other.close();
  }
});

test('two writers of one blob both succeed', async () => {
  await withOwnLease(channel, async (leased) => {
    const sizes = [source(), source({ digest, size: bytes.length }), source(), source({ digest })];
    const blobs = await Promise.all(sizes.map((one) => writeBlob(leased, one)));
    expect(blobs).toEqual(sizes.map(() => ({ digest, size: bytes.length })));
  });
});

const wrong = digestOf(Buffer.from('something else'));

test.each([
  ['another digest', { digest: wrong }, [wrong, digest]],
  ['fewer bytes', { size: bytes.length + 1 }, [`has ${bytes.length} of the ${bytes.length + 1} bytes`]],
  ['more bytes', { size: bytes.length - 1 }, [`has more than the ${bytes.length - 1} bytes`]],
  ['more bytes, of a known digest', { digest, size: 10 }, ['has more than the 10 bytes']],
])('%s than said', async (_, said, texts) => {
  await withOwnLease(channel, async (leased) => {
    const failure = await writeBlob(leased, source(said)).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'data-loss', suppressed: [] });
    for (const text of ['blob', ...texts]) expect((failure as Error).message).toContain(text);
    const { content, ingests } = await observeApi(context);
    expect([content, ingests]).toEqual([[], []]);
  });
});

test('a source that fails, or a caller who gives up, leaves no ingest', async () => {
  const cause = new Error('cable cut');
  const controller = new AbortController();
  async function* failing(fail: () => void) {
    yield* inChunks(bytes.subarray(0, 2_000_000));
    fail();
    yield* inChunks(bytes);
  }
  await withOwnLease(channel, async (leased) => {
    const cut = failing(() => {
      throw cause;
    });
    await expect(writeBlob(leased, source({ data: cut }))).rejects.toBe(cause);
    expect((await observeApi(context)).ingests).toEqual([]);
    const canceled = writeBlob(leased, source({ data: failing(() => controller.abort()) }), {
      signal: controller.signal,
    });
    await expect(canceled).rejects.toMatchObject({ code: 'canceled' });
    expect((await observeApi(context)).ingests).toEqual([]);
  });
});

test('reading: a limit, and content that is not there', async () => {
  await withOwnLease(channel, async (leased) => {
    await writeBlob(leased, source());
    await expect(readBlob(channel, digest, { limit: 1_000_000 })).rejects.toMatchObject({
      code: 'resource-exhausted',
      message: `${digest} has more than the 1000000 bytes of a document`,
    });
    expect(await readBlob(channel, digest, { limit: bytes.length })).toHaveLength(bytes.length);
    await expect(readBlob(channel, wrong)).rejects.toMatchObject({ code: 'not-found' });
    await expect(setLabels(channel, wrong, { a: 'b' })).rejects.toMatchObject({ code: 'not-found' });
  });
});
