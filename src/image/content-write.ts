import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { addSuppressed, DriverError, hasCode } from '../core/error.js';
import {
  ContentService,
  WriteAction,
  type WriteContentRequest,
} from '../generated/github.com/containerd/containerd/api/services/content/v1/content.js';
import type { Channel } from '../rpc/channel.js';
import { type Blob, type Labels, setLabels } from './content.js';
import { encodeWrite, gatherPieces, type Piece } from './content-pieces.js';
import { COLLECT_MS, type Leased } from './lease.js';

const ABORT_PAUSE_MS = { first: 20, most: 320 };
const operation = 'write content';
/** Of the daemon's failures, apart from those of whatever the bytes come from. */
const WRITE = 'Content.Write';

export interface BlobSource {
  /** The bytes, read once and from the beginning, or what gives them from an offset on. */
  data: AsyncIterable<Uint8Array> | ((offset: number) => AsyncIterable<Uint8Array>);
  /** What it is, for messages: `layer sha256:...`, `blobs/sha256/... in image.tar`. */
  subject: string;
  /** The digest it must have. Without one the blob is hashed on its way. */
  digest?: string | undefined;
  /** The bytes it must have; -1 when that is not known. */
  size?: number;
  /** Set on the blob, also when it is there already. */
  labels?: Labels;
}

/**
 * Writes a blob into the content store, in steps of 4 MiB at most. A blob that is there already is success. On any failure
 * the unfinished ingest is removed. The lease then holds the blob, also when another wrote it. Throws `data-loss` when
 * the bytes do not have the expected digest or size.
 */
export async function writeBlob(
  leased: Leased,
  source: BlobSource,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<Blob> {
  // A name of its own: two writers of one name would lock each other out.
  const ref = `cadre-${randomBytes(10).toString('hex')}`;
  try {
    const blob = await sendBlob(leased, ref, source, signal);
    // Given at the commit, labels reach a new blob only.
    if (blob.existing !== undefined && source.labels !== undefined)
      await setLabels(leased.channel, blob.digest, source.labels, { signal });
    return { digest: blob.digest, size: blob.size };
  } catch (error) {
    throw addSuppressed(error, await abortIngest(leased.channel, ref));
  }
}

/** Removes what was written under a name. Returns what stood in the way. Without the caller's signal, which may be why we are here. */
export async function abortIngest(channel: Channel, ref: string): Promise<unknown[]> {
  for (let pause = ABORT_PAUSE_MS.first; ; pause *= 2) {
    try {
      await channel.unary(ContentService.abort, { ref }, { idempotent: true });
      return [];
    } catch (failure) {
      if (hasCode(failure, 'not-found')) return [];
      // The daemon may still be closing the write that was canceled, and then fails with "directory not empty".
      if (pause > ABORT_PAUSE_MS.most) return [failure];
      await sleep(pause);
    }
  }
}

/** Bytes in memory as the data of a blob. */
export async function* yieldOnce(data: Uint8Array): AsyncGenerator<Uint8Array> {
  yield data;
}

/** True when a write failed because someone else is writing under the same name. */
export function isLocked(error: unknown): error is DriverError {
  return hasCode(error, 'unavailable') && error.operation === WRITE && /\blocked\b/.test(error.message);
}

/**
 * One Write call: a request, then its answer, in turn; the answers are the daemon's backpressure. It goes on from where
 * an earlier one of the same `ref` stopped, and throws `unavailable` while another is at it (`isLocked`). `existing` are the
 * labels of a blob that was there already.
 */
export async function sendBlob(
  { channel, hold }: Leased,
  ref: string,
  source: BlobSource,
  signal: AbortSignal | undefined,
): Promise<Blob & { existing?: Labels }> {
  const { data, subject, digest: known = '', size = -1, labels = {} } = source;
  const total = BigInt(Math.max(size, 0));
  const call = channel.upload(ContentService.write, { signal });
  const answers = call.responses[Symbol.asyncIterator]();
  const request = async (fields: Partial<Omit<WriteContentRequest, 'data'>>, piece?: Piece) => {
    const base = { ref, total, expected: known, action: WriteAction.STAT, offset: 0n, labels: {} };
    await call.send(encodeWrite({ ...base, ...fields }, piece));
    const answer = await answers.next();
    if (answer.done) throw new DriverError('unavailable', `no answer to a write of ${subject}`);
    return answer.value;
  };
  let digest = known;
  try {
    // The daemon says of a digest that it is there without holding it, so that it could be gone a moment later.
    if (known !== '') await hold({ type: 'content', id: known });
    const stat = await request({});
    let offset = Number(stat.offset);
    // Complete in another namespace of the same daemon: the commit alone makes it ours.
    const isComplete = known !== '' && offset === size;
    if (!isComplete) {
      const hash = known === '' ? createHash('sha256') : undefined;
      const [bytes, skip] = typeof data === 'function' ? [data(offset), 0] : [data, offset];
      for await (const piece of gatherPieces(bytes, skip)) {
        const { data: chunk } = piece;
        if (size >= 0 && offset + chunk.length > size) throw describeSize(subject, 'more than', size);
        hash?.update(chunk);
        await request({ action: WriteAction.WRITE, offset: BigInt(offset) }, piece);
        offset += chunk.length;
      }
      if (offset < size) throw describeSize(subject, `${offset} of`, size);
      if (hash !== undefined) {
        digest = `sha256:${hash.digest('hex')}`;
        await hold({ type: 'content', id: digest });
      }
    }
    const final = { total: BigInt(offset), expected: digest, offset: BigInt(offset), labels };
    // Given up, it would still come true, and behind the deletion of the lease that was to hold the blob.
    call.linger(COLLECT_MS);
    await request({ ...final, action: WriteAction.COMMIT });
    return { digest, size: offset };
  } catch (error) {
    if (!hasCode(error, 'already-exists', 'failed-precondition') || error.operation !== WRITE) throw error;
    if (error.code === 'already-exists') {
      const { info } = await channel.unary(ContentService.info, { digest }, { signal });
      return { digest, size: Number(info?.size ?? 0n), existing: info?.labels ?? {} };
    }
    throw new DriverError('data-loss', `${subject} is corrupt: ${error.message}`, { operation, cause: error });
  } finally {
    call.cancel();
  }
}

/** Makes a name to write a blob under, unless it is made, or the blob there. Another may be at it. */
export async function openIngest(
  channel: Channel,
  ref: string,
  { digest, size }: Blob,
  signal: AbortSignal | undefined,
): Promise<void> {
  const call = channel.duplex(ContentService.write, { signal });
  const answers = call.responses[Symbol.asyncIterator]();
  try {
    const [total, data] = [BigInt(size), Buffer.alloc(0)];
    await call.send({ ref, total, expected: digest, action: WriteAction.STAT, offset: 0n, data, labels: {} });
    await answers.next();
    call.end();
    // The daemon's end of the call, by which it has unlocked the name.
    await answers.next();
  } catch (error) {
    if (!hasCode(error, 'already-exists') && !isLocked(error)) throw error;
  } finally {
    call.cancel();
  }
}

function describeSize(subject: string, found: string, size: number): DriverError {
  return new DriverError('data-loss', `${subject} has ${found} the ${size} bytes that it must have`, { operation });
}
