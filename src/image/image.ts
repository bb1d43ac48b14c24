import { createHash } from 'node:crypto';
import { DriverError, hasCode } from '../core/error.js';
import {
  type Image as ImageRecord,
  ImagesService,
} from '../generated/github.com/containerd/containerd/api/services/images/v1/images.js';
import type { Timestamp } from '../generated/google/protobuf/timestamp.js';
import type { Channel } from '../rpc/channel.js';
import { type ImageConfig, type Platform, pickBlob, type TypedBlob } from './document.js';
import { COLLECT_MS } from './lease.js';
import { chooseManifest, type ImageTree } from './manifest.js';
import { getHostPlatform } from './platform.js';
import { normalizeReference } from './reference.js';

/** An image in the store, as one platform's containers see it. */
export interface Image {
  /** The canonical reference under which containerd knows it: `docker.io/library/busybox:latest`. */
  name: string;
  /** What the name stands for: a manifest, or an index of several platforms' manifests. */
  target: TypedBlob;
  /** The manifest that was chosen for the platform. */
  manifest: TypedBlob;
  /** What the image says that it runs on; what it does not say is taken to fit. */
  platform: Partial<Platform>;
  /** What the image says about its processes. */
  config: ImageConfig;
  /** Digest of its config, which Docker calls the image's id. */
  configDigest: string;
  /** Layers as they are stored, the lowest first. */
  layers: TypedBlob[];
  /** Digests of the same layers uncompressed. */
  diffIds: string[];
  /** Name of the snapshot of all layers together; empty for an image without layers. */
  chainId: string;
}

export interface GetImageOptions {
  /** Defaults to Linux on this machine's processor. */
  platform?: Platform | undefined;
  /** The same image as it was found before: its documents are not read again while the name stands for the same. */
  known?: Image | undefined;
  signal?: AbortSignal | undefined;
}

/** A name in the store, and what it stands for. */
export type ListedImage = Pick<Image, 'name' | 'target'>;

/** Where an image that was committed from a session came from. */
export interface ImageOrigin {
  /** Id of the session. */
  session: string;
  /** Name of the image that the session was made of. */
  image: string;
}

/** A name in the store, as it is listed. */
export interface StoredImage extends ListedImage {
  /** When the name came to be. */
  createdAt: Date;
  /** When the name was given its present meaning. */
  updatedAt: Date;
  /** Of an image that was committed from a session. */
  origin?: ImageOrigin;
}

/** Labels of a committed image's record. */
const ORIGIN = { session: 'cadre.dev/origin-session', image: 'cadre.dev/origin-image' } as const;

const operation = 'get image';

/**
 * Finds an image by its reference. Throws `invalid-argument` for a reference that is none, `not-found` when the
 * namespace does not have the image or the image not the platform, `data-loss` when part of its content is missing.
 */
export async function getImage(channel: Channel, reference: string, options: GetImageOptions = {}): Promise<Image> {
  const { platform = getHostPlatform(), known, signal } = options;
  const { name, target } = await findImage(channel, reference, { signal });
  if (known?.name === name && known.target.digest === target.digest) return known;
  return resolveImage({ channel, subject: name, target, signal }, { name, platform });
}

/** Reads what an image is from its documents. */
export async function resolveImage(
  tree: ImageTree,
  { name, platform }: { name: string; platform: Platform },
): Promise<Image> {
  const chosen = await chooseManifest(tree, platform);
  return {
    name,
    target: pickBlob(tree.target),
    manifest: pickBlob(chosen.descriptor),
    platform: chosen.platform,
    config: chosen.config,
    configDigest: chosen.configDescriptor.digest,
    layers: chosen.layers.map(pickBlob),
    diffIds: chosen.diffIds,
    chainId: computeChainIds(chosen.diffIds).at(-1) ?? '',
  };
}

/** Names of the snapshots of a stack of layers, the lowest first: each stands for its layer and all below it. */
export function computeChainIds(diffIds: readonly string[]): string[] {
  const chain: string[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    const id = createHash('sha256').update(`${below} ${diffId}`).digest('hex');
    chain.push(below === undefined ? diffId : `sha256:${id}`);
  }
  return chain;
}

/** All names in the namespace, with what they stand for. */
export async function listImages(
  channel: Channel,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<StoredImage[]> {
  const { images } = await channel.unary(ImagesService.list, { filters: [] }, { signal });
  return images.map(readStored);
}

/** The one of that reference. Throws as `getImage` does for a name that is not there. */
export async function findImage(
  channel: Channel,
  reference: string,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<StoredImage> {
  const name = normalizeReference(reference);
  const { image } = await channel.unary(ImagesService.get, { name }, { signal }).catch((cause: unknown) => {
    if (!hasCode(cause, 'not-found')) throw cause;
    const message = `no image ${name} in namespace ${channel.namespace}: import it from an archive first`;
    throw new DriverError('not-found', message, { operation, cause });
  });
  if (image === undefined) throw new DriverError('data-loss', `the daemon gives no image for ${name}`, { operation });
  return readStored(image);
}

function readStored(image: ImageRecord): StoredImage {
  const { session, image: from } = { session: image.labels[ORIGIN.session], image: image.labels[ORIGIN.image] };
  return {
    name: image.name,
    target: readTarget(image),
    createdAt: readTime(image.createdAt),
    updatedAt: readTime(image.updatedAt),
    ...(session === undefined || from === undefined ? {} : { origin: { session, image: from } }),
  };
}

function readTime(time: Timestamp | undefined): Date {
  return new Date(Number(time?.seconds ?? 0n) * 1000 + Math.floor((time?.nanos ?? 0) / 1e6));
}

/** Gives a name to what is in the store, or a new meaning to a name that there is. True when the name is new. */
export async function recordImage(
  channel: Channel,
  { name, target, origin }: ListedImage & { origin?: ImageOrigin | undefined },
): Promise<boolean> {
  const described = { ...target, size: BigInt(target.size), annotations: {} };
  // An empty value takes away the label that an earlier meaning of the name had.
  const labels = { [ORIGIN.session]: origin?.session ?? '', [ORIGIN.image]: origin?.image ?? '' };
  const given = origin === undefined ? {} : labels;
  const image = { name, target: described, labels: given, createdAt: undefined, updatedAt: undefined };
  try {
    await channel.unary(ImagesService.create, { image, sourceDateEpoch: undefined }, { idempotent: true });
    return true;
  } catch (error) {
    if (!hasCode(error, 'already-exists')) throw error;
  }
  const updateMask = ['target', ...Object.keys(labels).map((label) => `labels.${label}`)];
  const request = { image: { ...image, labels }, updateMask, sourceDateEpoch: undefined };
  await channel.unary(ImagesService.update, request, { idempotent: true });
  return false;
}

/** How a name is removed. */
export interface RemoveImageOptions {
  /** Collect what only this image used before this returns; otherwise the daemon does it in its own time. Defaults to false. */
  sync?: boolean;
  /** Gives up waiting and rejects with `canceled`; the name may be gone. */
  signal?: AbortSignal | undefined;
}

/** Removes an image's name. Its content leaves with the last name, lease or container that uses it. */
export async function removeImage(
  channel: Channel,
  reference: string,
  options: RemoveImageOptions = {},
): Promise<void> {
  const { sync = false, signal } = options;
  const name = normalizeReference(reference);
  await channel
    .unary(ImagesService.delete, { name, sync }, { signal, deadlineMs: COLLECT_MS })
    .catch((cause: unknown) => {
      if (!hasCode(cause, 'not-found')) throw cause;
      const message = `no image ${name} in namespace ${channel.namespace}`;
      throw new DriverError('not-found', message, { operation: 'remove image', cause });
    });
}

function readTarget(image: ImageRecord | undefined): TypedBlob {
  const { mediaType = '', digest = '', size = 0n } = image?.target ?? {};
  return { mediaType, digest, size: Number(size) };
}
