import { DriverError, hasCode } from '../core/error.js';
import { ContentService } from '../generated/github.com/containerd/containerd/api/services/content/v1/content.js';
import type { Channel } from '../rpc/channel.js';

/** The largest JSON document that is read into memory, in bytes. Real ones have a few kilobytes. */
export const DOCUMENT_BYTES = 8 * 1024 * 1024;

export type Labels = Record<string, string>;

export interface Blob {
  digest: string;
  size: number;
}

/** Sets labels of a blob; other labels stay. Throws `not-found` when the blob is not there. */
export async function setLabels(
  channel: Channel,
  digest: string,
  labels: Labels,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const keys = Object.keys(labels);
  if (keys.length === 0) return;
  await channel.unary(
    ContentService.update,
    {
      info: { digest, size: 0n, createdAt: undefined, updatedAt: undefined, labels },
      updateMask: keys.map((key) => `labels.${key}`),
    },
    { signal, idempotent: true },
  );
}

/** As `setLabels`, and writes only what is not so: a write waits for the disk that layers may be on their way to. */
export async function ensureLabels(
  channel: Channel,
  digest: string,
  labels: Labels,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<void> {
  if (Object.keys(labels).length === 0) return;
  const known = (await findBlob(channel, digest, { signal }))?.labels ?? {};
  const missing = Object.entries(labels).filter(([key, value]) => known[key] !== value);
  await setLabels(channel, digest, Object.fromEntries(missing), { signal });
}

/** Reads a whole blob into memory. Throws `not-found`, and `resource-exhausted` beyond `limit` bytes. */
export async function readBlob(
  channel: Channel,
  digest: string,
  { limit = DOCUMENT_BYTES, signal }: { limit?: number; signal?: AbortSignal | undefined } = {},
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const data of streamBlob(channel, digest, { signal })) {
    size += data.length;
    if (size > limit) {
      throw new DriverError('resource-exhausted', `${digest} has more than the ${limit} bytes of a document`, {
        operation: 'read content',
      });
    }
    chunks.push(data);
  }
  return Buffer.concat(chunks, size);
}

/** The bytes of a blob from `offset` on as they come, with flat memory. Throws `not-found`. */
export async function* streamBlob(
  channel: Channel,
  digest: string,
  { offset = 0, size = 0, signal }: { offset?: number; size?: number; signal?: AbortSignal | undefined } = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const range = { digest, offset: BigInt(offset), size: BigInt(size) };
  const answers = channel.serverStream(ContentService.read, range, { signal });
  for await (const { data } of answers) yield data;
}

/** What the store knows of a blob; undefined when it is not there. */
export async function findBlob(
  channel: Channel,
  digest: string,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<{ size: number; labels: Labels } | undefined> {
  try {
    const { info } = await channel.unary(ContentService.info, { digest }, { signal });
    return { size: Number(info?.size ?? 0n), labels: info?.labels ?? {} };
  } catch (error) {
    if (hasCode(error, 'not-found')) return undefined;
    throw error;
  }
}

/** What the store knows of blobs, by digest; without those that are not there. */
export async function findBlobs(
  channel: Channel,
  digests: readonly string[],
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<Map<string, { size: number; labels: Labels }>> {
  const filters = digests.map((digest) => `digest=="${digest}"`);
  const found = new Map<string, { size: number; labels: Labels }>();
  // Without a filter the daemon lists all that it has.
  if (filters.length === 0) return found;
  for await (const { info } of channel.serverStream(ContentService.list, { filters }, { signal })) {
    for (const { digest, size, labels } of info) found.set(digest, { size: Number(size), labels });
  }
  return found;
}
