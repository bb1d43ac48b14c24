import { addSuppressed, DriverError, hasCode } from '../core/error.js';
import { ContentService } from '../generated/github.com/containerd/containerd/api/services/content/v1/content.js';
import type { Channel } from '../rpc/channel.js';
import { type Labels, setLabels } from './content.js';
import { abortIngest, type BlobSource, isLocked, sendBlob } from './content-write.js';
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
  const labels = describeSource(repository, []);
  for (let resumed = false; ; ) {
    let isFresh = false;
    const data = (from: number) => {
      isFresh = from === 0;
      return countBytes(typeof source.data === 'function' ? source.data(from) : source.data, from, onBytes);
    };
    try {
      const written = await sendBlob(store, ref, { ...source, data, digest, size, labels }, signal);
      if (written.size !== size) {
        const message = `${source.subject} has ${written.size} bytes, not ${size}`;
        throw new DriverError('data-loss', message, { operation: 'pull image' });
      }
      onBytes(size);
      // Given at the commit, labels reach a new blob only.
      if (written.existing !== undefined) await labelSource({ leased, repository, signal }, digest, written.existing);
      return;
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
}

/** Says of a blob that another has brought, and that has these labels, where it is to be had again. */
export async function labelSource(
  { leased, repository, signal }: Omit<PullStore, 'channel'>,
  digest: string,
  known: Labels,
): Promise<void> {
  await setLabels(leased.channel, digest, describeSource(repository, listSources(known, repository)), { signal });
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

/**
 * Where a blob is to be had again, as containerd's clients say it: without the registry's port. A push can mount it from
 * there. No label when it is among those that are known.
 */
function describeSource(repository: Repository, known: readonly string[]): Labels {
  const key = nameSource(repository);
  const value = [...new Set([...known, repository.name])].sort().join(',');
  return known.includes(repository.name) || key.length + value.length > LABEL_BYTES ? {} : { [key]: value };
}

/** The repositories of a registry that a blob with these labels is known to be in. */
export function listSources(labels: Labels, repository: Repository): string[] {
  return (labels[nameSource(repository)] ?? '').split(',').filter((name) => name !== '');
}

function nameSource({ registry }: Repository): string {
  return `${SOURCE}${registry.replace(/:\d+$/, '').replace(/^\[(.*)]$/, '$1')}`;
}
