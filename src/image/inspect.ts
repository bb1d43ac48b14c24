import { hasCode } from '../core/error.js';
import type { Channel } from '../rpc/channel.js';
import { findBlob } from './content.js';
import type { HistoryEntry, ImageConfig, Platform, TypedBlob } from './document.js';
import { computeChainIds, findImage, type StoredImage } from './image.js';
import { type ImageTree, loadManifest, walkDocuments } from './manifest.js';
import { readSnapshotUsage } from './snapshot.js';
import { DEFAULT_SNAPSHOTTER, type UnpackOptions } from './unpack.js';

/** One platform's part of an image. */
export interface PlatformDetails {
  /** What the image says that it runs on. */
  platform: Partial<Platform>;
  /** The document that names config and layers. */
  manifest: TypedBlob;
  /** False when part of it is not in the store: the other platforms of an index that was brought for one. */
  isComplete: boolean;
  /** What the image says about its processes; `config.Labels` are the labels that its builder gave it. */
  config?: ImageConfig;
  /** The lowest first. */
  layers?: LayerDetails[];
  /** How the layers came to be, the lowest first. */
  history?: HistoryEntry[];
  /** Bytes of manifest, config and layers as they are stored. */
  contentBytes?: number;
  /** Bytes of the unpacked layers; absent while one of them is not unpacked. */
  unpackedBytes?: number;
}

/** A layer, as it is stored and as it unpacks. */
export interface LayerDetails extends TypedBlob {
  /** Digest of the layer uncompressed. */
  diffId: string;
}

/** All that the store knows of an image. */
export interface ImageDetails extends StoredImage {
  /** Each of an index, or the one there is. */
  platforms: PlatformDetails[];
}

/** Reads all of an image's platforms. Throws `not-found` for a name that the namespace does not have. */
export async function inspectImage(
  channel: Channel,
  reference: string,
  { snapshotter = DEFAULT_SNAPSHOTTER, signal }: UnpackOptions = {},
): Promise<ImageDetails> {
  const stored = await findImage(channel, reference, { signal });
  const tree: ImageTree = { channel, subject: stored.name, target: stored.target, signal };
  const platforms: PlatformDetails[] = [];
  for await (const { descriptor, index } of walkDocuments(tree)) {
    if (index !== undefined) continue;
    const { mediaType, digest, size, platform } = descriptor;
    const manifest = { mediaType, digest, size };
    try {
      platforms.push({ manifest, ...(await readPlatform(tree, manifest, snapshotter)) });
    } catch (error) {
      // An index may hold other things beside images: attestations, for one.
      if (hasCode(error, 'invalid-argument') && stored.target.digest !== digest) continue;
      if (!hasCode(error, 'data-loss')) throw error;
      platforms.push({ manifest, platform: platform ?? {}, isComplete: false });
    }
  }
  return { ...stored, platforms };
}

async function readPlatform(tree: ImageTree, manifest: TypedBlob, snapshotter: string) {
  const { platform, config, history, diffIds, layers, configDescriptor } = await loadManifest(tree, manifest);
  const present = await Promise.all(layers.map(({ digest }) => findBlob(tree.channel, digest)));
  const chain = computeChainIds(diffIds);
  const sizes = await Promise.all(chain.map((key) => readSnapshotUsage(tree.channel, snapshotter, key)));
  return {
    platform,
    isComplete: !present.includes(undefined),
    config,
    history,
    layers: layers.map(({ mediaType, digest, size }, i) => ({ mediaType, digest, size, diffId: diffIds[i] ?? '' })),
    contentBytes: sum([manifest, configDescriptor, ...layers].map(({ size }) => size)),
    ...(sizes.includes(undefined) ? {} : { unpackedBytes: sum(sizes.map((size) => size ?? 0)) }),
  };
}

function sum(sizes: readonly number[]): number {
  return sizes.reduce((total, size) => total + size, 0);
}
