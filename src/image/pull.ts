import { setTimeout as sleep } from 'node:timers/promises';
import { createInputError, DriverError } from '../core/error.js';
import { Gate } from '../core/gate.js';
import type { Channel } from '../rpc/channel.js';
import { DOCUMENT_BYTES, readBlob } from './content.js';
import type { TypedBlob } from './document.js';
import { type Image, recordImage, resolveImage } from './image.js';
import { type Leased, withOwnLease } from './lease.js';
import { type ImageTree, labelReferences } from './manifest.js';
import { checkTarget, isIndex, isManifest } from './media-type.js';
import { getHostPlatform } from './platform.js';
import { type PullStore, pullBlob } from './pull-blob.js';
import { checkPullOptions, type PullOptions } from './pull-options.js';
import { PullCounter } from './pull-progress.js';
import { formatReference, parseReference } from './reference.js';
import { type ManifestDocument, Repository } from './registry/repository.js';
import { unpackImage } from './unpack.js';

const CONCURRENCY = 3;
/** For which the lowest layer has connection and processors to itself: unpacking, which takes longest, begins with it. */
const HEAD_START_MS = 300;

/**
 * Pulls an image from its registry and unpacks it. The name is given when everything is there and verified; until then
 * a lease holds it, and after a failure only half-downloaded layers stay, for a day, for the next pull to go on with.
 * Any number of processes may pull the same image at once: they share the work.
 *
 * Throws `invalid-argument` for a reference, options and documents that make no sense, `not-found` when the registry
 * does not have the image or the image not the platform, `permission-denied` when it wants other credentials,
 * `unavailable` or `deadline-exceeded` when it cannot be reached, retries included, `failed-precondition` for a
 * configuration that cannot be honoured and for TLS that is not trusted, `data-loss` for bytes that do not have their
 * digest or size, `resource-exhausted` beyond a budget and on a full disk, `canceled`.
 */
export async function pullImage(channel: Channel, reference: string, options: PullOptions = {}): Promise<Image> {
  checkPullOptions(options);
  const wanted = parseReference(reference);
  const { tag = '', digest } = wanted;
  if (digest?.startsWith('sha256:') === false) {
    const expected = 'a sha256 digest, by which containerd keeps content';
    throw createInputError('image reference', [{ path: 'reference', value: reference, expected }]);
  }
  const { onProgress, signal } = options;
  const name = formatReference(wanted);
  const repository = new Repository(wanted, options.registry);
  try {
    onProgress?.({ stage: 'resolve', completed: 0, total: 1 });
    const target = await repository.getManifest(digest ?? tag, signal);
    checkTarget(target.mediaType, name);
    const image = await withOwnLease(
      channel,
      (leased) => pullTarget(leased, { channel, repository, name, target, options }),
      { signal },
    );
    onProgress?.({ stage: 'done', completed: 1, total: 1 });
    return image;
  } finally {
    await repository.close();
  }
}

interface Pull {
  /** Without the lease. */
  channel: Channel;
  repository: Repository;
  name: string;
  target: ManifestDocument;
  options: PullOptions;
}

async function pullTarget(leased: Leased, pull: Pull): Promise<Image> {
  const { name, target, options } = pull;
  const { platform = getHostPlatform() } = options;
  // One piece that fails ends the others, before the lease goes.
  const failed = new AbortController();
  const signal = options.signal === undefined ? failed.signal : AbortSignal.any([failed.signal, options.signal]);
  const store = { ...pull, leased, signal };
  const documents = new Map<string, number>();
  const tree: ImageTree = {
    channel: leased.channel,
    subject: name,
    target,
    signal,
    async read(blob) {
      const data = await pullDocument(store, blob, target);
      documents.set(blob.digest, data.length);
      return data;
    },
  };
  const image = await resolveImage(tree, { name, platform });
  const layers = new Map(image.layers.map((layer) => [layer.digest, layer]));
  await pullLayers(store, image, [...layers.values()], { options, failed });
  const sizes = new Map([...documents, ...[...layers.values()].map(({ digest, size }) => [digest, size] as const)]);
  await labelReferences({ ...tree, read: undefined, sizes });
  // Without the caller's signal: a cancellation in this moment could leave a name for what is then gone.
  await recordImage(leased.channel, image);
  return image;
}

/** A manifest, an index or a config; from the store where it is there already. */
async function pullDocument(store: PullStore, blob: TypedBlob, root: ManifestDocument): Promise<Uint8Array> {
  const { leased, repository, signal } = store;
  const subject = `${blob.digest} of ${repository.registry}/${repository.name}`;
  if (blob.size > DOCUMENT_BYTES) {
    const message = `${subject} has ${blob.size} bytes, more than the ${DOCUMENT_BYTES} of a document`;
    throw new DriverError('resource-exhausted', message, { operation: 'pull image' });
  }
  const readManifest = async function* (offset: number) {
    const { data } = blob.digest === root.digest ? root : await repository.getManifest(blob.digest, signal);
    yield data.subarray(offset);
  };
  const isBlob = !isManifest(blob.mediaType) && !isIndex(blob.mediaType);
  const data = isBlob ? (offset: number) => repository.readBlob(blob, offset, signal) : readManifest;
  await pullBlob(store, blob, { data, subject });
  return readBlob(leased.channel, blob.digest, { signal });
}

/** Downloads and unpacks at the same time: a layer is unpacked when it and those below it are there. */
async function pullLayers(
  store: PullStore,
  image: Image,
  layers: TypedBlob[],
  { options, failed }: { options: PullOptions; failed: AbortController },
): Promise<void> {
  const { leased, repository, signal } = store;
  const { concurrency, snapshotter, maxUnpackedBytes, onProgress } = options;
  const counter = new PullCounter(image.name, layers, options);
  const onBytes = (layer: TypedBlob, at: number) => counter.note(layer, at);
  const onLayer = (completed: number) => onProgress?.({ stage: 'unpack', completed, total: image.layers.length });
  // Loaded with its protobufs by who needs it: most commands pull nothing.
  const transfer = async () =>
    (await import('./pull-transfer.js')).transferLayers(store, { image, layers, options, onBytes, onLayer });
  // How many layers at once the daemon brings is for its own configuration to say.
  const isThere = concurrency === undefined ? await transfer() : new Set<string>();
  const gate = new Gate(concurrency ?? CONCURRENCY);
  const failures: unknown[] = [];
  const note = (error: unknown) => {
    failures.push(error);
    failed.abort();
  };
  let headStart: Promise<unknown> = Promise.resolve();
  const downloads = new Map(
    layers.map((layer) => {
      const data = (offset: number) => repository.readBlob(layer, offset, signal);
      const subject = `layer ${layer.digest} of ${image.name}`;
      const download = () => gate.run(() => pullBlob(store, layer, { data, subject }, (at) => onBytes(layer, at)));
      const done = isThere.has(layer.digest) ? Promise.resolve() : headStart.then(download).catch(note);
      if (layer === layers[0]) headStart = Promise.race([done, sleep(HEAD_START_MS, undefined, { ref: false })]);
      return [layer.digest, done];
    }),
  );
  const unpacking = unpackImage(leased, image, {
    snapshotter,
    maxUnpackedBytes,
    signal,
    async waitFor({ digest }) {
      await downloads.get(digest);
      if (signal.aborted) throw new DriverError('canceled', `pull of ${image.name}: canceled`);
    },
    onLayer,
  });
  await Promise.all([...downloads.values(), unpacking.catch(note)]);
  // Those that follow are the first one's consequences.
  if (failures.length > 0) throw failures[0];
}
