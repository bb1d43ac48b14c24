import { DriverError, hasCode } from '../core/error.js';
import { Gate } from '../core/gate.js';
import { abortSignal, aFunction, checkOptions, type Rule } from '../policy/rule.js';
import { text, whole } from '../policy/schema.js';
import type { Channel } from '../rpc/channel.js';
import { findBlob, readBlob, streamBlob } from './content.js';
import { type Platform, pickBlob, type TypedBlob } from './document.js';
import { findImage } from './image.js';
import { type Leased, withOwnLease } from './lease.js';
import { chooseManifest, type ImageTree, readManifest, walkDocuments } from './manifest.js';
import { platformRule } from './platform.js';
import { listSources } from './pull-blob.js';
import type { PullProgress } from './pull-options.js';
import { formatReference, parseReference } from './reference.js';
import { type RegistryOptions, registryRule } from './registry/options.js';
import { Repository } from './registry/repository.js';
import { uploadBlob, uploadManifest } from './registry/upload.js';

/** What to push, where to, and how. */
export interface PushOptions {
  /** The reference to push to, when it is not the image's own name. */
  to?: string | undefined;
  /** The one platform to push. Defaults to the whole image, all of which must then be in the store. */
  platform?: Platform | undefined;
  /** Blobs that are sent at once. Defaults to 3. */
  concurrency?: number | undefined;
  /** How the registry is reached. */
  registry?: RegistryOptions | undefined;
  /** Called with the bytes that the registry has, at the stage `upload`. */
  onProgress?: ((progress: PushProgress) => void) | undefined;
  /** Ends the push and rejects with `canceled`; blobs that the registry has by then stay there. */
  signal?: AbortSignal | undefined;
}

/** What a push is at. */
export interface PushProgress extends Omit<PullProgress, 'stage'> {
  /** The last one is `done`. */
  stage: 'upload' | 'done';
}

/** What was pushed, and what the registry has it under. */
export interface PushedImage {
  /** The canonical reference. */
  name: string;
  /** The manifest or index that it stands for there. */
  target: TypedBlob;
}

const keys: Record<keyof PushOptions, Rule> = {
  to: text(),
  platform: platformRule,
  concurrency: whole(1, 64),
  registry: registryRule,
  onProgress: aFunction,
  signal: abortSignal,
};

const CONCURRENCY = 3;
const operation = 'push image';

/**
 * Pushes an image of the store to a registry: what the registry lacks, then the documents that refer to it, the name
 * last. Throws `not-found` for an image or a platform that is not in the store, `data-loss` for content that is not,
 * and the registry's failures as `pullImage` does.
 */
export async function pushImage(channel: Channel, reference: string, options: PushOptions = {}): Promise<PushedImage> {
  checkOptions('push options', options, keys);
  const { to = reference, registry, signal } = options;
  const wanted = parseReference(to);
  const repository = new Repository(wanted, registry);
  try {
    const { name, target } = await findImage(channel, reference, { signal });
    const work = async (leased: Leased) => {
      // What it refers to is held with it: its labels say so to the garbage collector.
      await leased.hold({ type: 'content', id: target.digest });
      const tree = { channel: leased.channel, subject: name, target, signal };
      return pushTree(tree, repository, wanted.tag, options);
    };
    const pushed = await withOwnLease(channel, work, { signal });
    options.onProgress?.({ stage: 'done', completed: 1, total: 1 });
    return { name: formatReference(wanted), target: pushed };
  } finally {
    await repository.close();
  }
}

async function pushTree(
  whole: ImageTree,
  repository: Repository,
  tag: string | undefined,
  options: PushOptions,
): Promise<TypedBlob> {
  const { platform, concurrency = CONCURRENCY, onProgress } = options;
  const chosen = platform === undefined ? whole.target : (await chooseManifest(whole, platform)).descriptor;
  const target = pickBlob(chosen);
  const { documents, blobs } = await listParts({ ...whole, target });
  const failed = new AbortController();
  const signal = options.signal === undefined ? failed.signal : AbortSignal.any([failed.signal, options.signal]);
  const total = blobs.reduce((sum, { size }) => sum + size, 0);
  const sent = new Map<string, number>();
  const failures: unknown[] = [];
  const gate = new Gate(concurrency);
  const push = async (blob: TypedBlob) => {
    const { channel } = whole;
    await uploadBlob(repository, blob, {
      from: listSources((await findBlob(channel, blob.digest, { signal }))?.labels ?? {}, repository),
      read: (offset, size) => readPiece(channel, blob, { offset, size, signal }),
      signal,
      onBytes(bytes) {
        sent.set(blob.digest, bytes);
        const completed = [...sent.values()].reduce((sum, each) => sum + each, 0);
        onProgress?.({ stage: 'upload', completed, total, digest: blob.digest });
      },
    });
  };
  const note = (error: unknown) => {
    failures.push(error);
    failed.abort();
  };
  await Promise.all(blobs.map((blob) => gate.run(() => push(blob)).catch(note)));
  // Those that follow are the first one's consequences.
  if (failures.length > 0) throw failures[0];
  // What is referred to before what refers to it.
  for (const document of documents.reverse()) {
    const data = await readBlob(whole.channel, document.digest, { signal });
    const as = document.digest === target.digest ? (tag ?? document.digest) : document.digest;
    await uploadManifest(repository, document, { data, as, signal });
  }
  return target;
}

async function listParts(tree: ImageTree): Promise<{ documents: TypedBlob[]; blobs: TypedBlob[] }> {
  const documents = new Map<string, TypedBlob>();
  const blobs = new Map<string, TypedBlob>();
  for await (const { descriptor, index } of walkDocuments(tree)) {
    documents.set(descriptor.digest, pickBlob(descriptor));
    if (index !== undefined) continue;
    try {
      const { config, layers } = await readManifest(tree, descriptor);
      for (const blob of [config, ...layers]) blobs.set(blob.digest, pickBlob(blob));
    } catch (cause) {
      if (!hasCode(cause, 'data-loss') || descriptor.digest === tree.target.digest) throw cause;
      const message = `${cause.message}: push one platform, or pull the others first`;
      throw new DriverError('data-loss', message, { operation, cause });
    }
  }
  return { documents: [...documents.values()], blobs: [...blobs.values()] };
}

async function readPiece(
  channel: Channel,
  { digest }: TypedBlob,
  { offset, size, signal }: { offset: number; size: number; signal: AbortSignal },
): Promise<Uint8Array> {
  // To the daemon a size of 0 means all that there is.
  if (size === 0) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  for await (const chunk of streamBlob(channel, digest, { offset, size, signal })) chunks.push(chunk);
  return Buffer.concat(chunks);
}
