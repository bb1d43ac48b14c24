import { addSuppressed, DriverError, hasCode } from '../core/error.js';
import { ContentService } from '../generated/github.com/containerd/containerd/api/services/content/v1/content.js';
import type { Channel } from '../rpc/channel.js';
import { abortIngest, type BlobSource, findBlob, isLocked, sendBlob, setLabels } from './content.js';
import type { TypedBlob } from './document.js';
import type { Leased } from './lease.js';
import { isIndex, isLayer, isManifest } from './media-type.js';
import type { Repository } from './registry/repository.js';
import { pauseFor } from './registry/retry.js';

const LOOK_MS = 100;
const STILL_LOOKS = 10;
const SOURCE = 'containerd.io/distribution.source.';
/** containerd takes labels of so many bytes, key and value together. */
const LABEL_BYTES = 4096;

export interface PullStore {
  leased: Leased;
  /** The same connection without the lease: half-written content outlives us then, for a day, to be gone on with. */
  channel: Channel;
  repository: Repository;
  signal: AbortSignal;
}

/**
 * Brings one blob into the content store, going on from where an earlier pull stopped. Who else pulls the same blob,
 * with this library or another client of containerd, is waited for. `onBytes` is called with the bytes that are there.
 */
export async function pullBlob(
  { leased, channel, repository, signal }: PullStore,
  blob: TypedBlob,
  source: Pick<BlobSource, 'data' | 'subject'>,
  onBytes: (bytes: number) => void = () => undefined,
): Promise<void> {
  const { digest, size } = blob;
  const ref = nameIngest(blob);
  const store = { ...leased, channel };
  for (let resumed = false; ; ) {
    let isFresh = false;
    const data = (from: number) => {
      isFresh = from === 0;
      return countBytes(typeof source.data === 'function' ? source.data(from) : source.data, from, onBytes);
    };
    try {
      const written = await sendBlob(store, ref, { ...source, data, digest, size }, signal);
      if (written.size !== size) {
        const message = `${source.subject} has ${written.size} bytes, not ${size}`;
        throw new DriverError('data-loss', message, { operation: 'pull image' });
      }
      onBytes(size);
      break;
    } catch (error) {
      if (isLocked(error)) {
        await waitForOther(channel, ref, onBytes, signal);
      } else if (hasCode(error, 'data-loss', 'resource-exhausted')) {
        // Of no use to anyone; or there is no room for it.
        const failures = await abortIngest(channel, ref);
        // What an earlier writer left may be the part that is wrong, or the whole.
        if (failures.length > 0 || isFresh || resumed) throw addSuppressed(error, failures);
        resumed = true;
      } else {
        throw error;
      }
    }
  }
  await labelSource(leased.channel, digest, repository, signal);
}

/** The same for a blob that the daemon has brought and the lease holds. False when it is not as it must be. */
export async function adoptBlob(
  { leased, repository, signal }: PullStore,
  { digest, size }: TypedBlob,
): Promise<boolean> {
  if ((await findBlob(leased.channel, digest, { signal })) !== size) return false;
  await labelSource(leased.channel, digest, repository, signal);
  return true;
}

/** The names that containerd's own clients use, so that theirs and ours are the same work. */
export function nameIngest({ mediaType, digest }: TypedBlob): string {
  const kind = isIndex(mediaType)
    ? 'index'
    : isManifest(mediaType)
      ? 'manifest'
      : isLayer(mediaType)
        ? 'layer'
        : 'config';
  return `${kind}-${digest}`;
}

async function* countBytes(
  data: AsyncIterable<Uint8Array>,
  from: number,
  onBytes: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  let at = from;
  onBytes(at);
  for await (const chunk of data) {
    yield chunk;
    at += chunk.length;
    onBytes(at);
  }
}

/** Returns when whoever holds the lock is done, or does not come further: it may have ended. */
async function waitForOther(
  channel: Channel,
  ref: string,
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  for (let before = -1, still = 0; still < STILL_LOOKS; ) {
    const bytes = await readIngest(channel, ref);
    if (bytes === undefined) return;
    still = bytes === before ? still + 1 : 0;
    before = bytes;
    onBytes(bytes);
    await pauseFor(LOOK_MS, signal);
  }
}

/** Bytes that were written; undefined when nobody is writing any more. */
async function readIngest(channel: Channel, ref: string): Promise<number | undefined> {
  try {
    const { status } = await channel.unary(ContentService.status, { ref });
    return Number(status?.offset ?? 0n);
  } catch (error) {
    if (hasCode(error, 'not-found')) return undefined;
    throw error;
  }
}

/** Says where a blob is to be had again, as containerd's clients do; a push can mount it from there. */
async function labelSource(
  channel: Channel,
  digest: string,
  { registry, name }: Repository,
  signal: AbortSignal,
): Promise<void> {
  const key = `${SOURCE}${registry}`;
  const known = await readSources(channel, digest, registry, signal);
  const value = [...new Set([...known, name])].sort().join(',');
  if (known.includes(name) || key.length + value.length > LABEL_BYTES) return;
  await setLabels(channel, digest, { [key]: value }, { signal });
}

/** The repositories of a registry that a blob is known to be in. */
export async function readSources(
  channel: Channel,
  digest: string,
  registry: string,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const { info } = await channel.unary(ContentService.info, { digest }, { signal });
  return (info?.labels[`${SOURCE}${registry}`] ?? '').split(',').filter((name) => name !== '');
}
