import { hasCode } from '../core/error.js';
import { ContainersService } from '../generated/github.com/containerd/containerd/api/services/containers/v1/containers.js';
import { ContentService } from '../generated/github.com/containerd/containerd/api/services/content/v1/content.js';
import type { Channel } from '../rpc/channel.js';
import { computeChainIds, listImages, type StoredImage } from './image.js';
import { type ImageTree, loadManifest, readManifest, walkDocuments } from './manifest.js';
import { OCI_MANIFEST } from './media-type.js';
import { listSnapshots, readSnapshotUsage } from './snapshot.js';

/** Bytes of what a containerd namespace holds. What several images share is counted once in every total. */
export interface ImageUsage {
  /** Each name of the namespace. */
  images: ImageBytes[];
  /** All blobs, as they are stored. */
  contentBytes: number;
  /** All snapshots of the provider's snapshotter: unpacked layers, and what sessions wrote on top of them. */
  snapshotBytes: number;
  /** Blobs and snapshots together. */
  totalBytes: number;
}

/** What one name takes. */
export interface ImageBytes {
  /** The canonical reference. */
  name: string;
  /** All that the image refers to, stored and unpacked. */
  bytes: number;
  /** What no other image and no container has: so much is freed by its removal. */
  uniqueBytes: number;
}

/** What is stored under one key, be it content or a snapshot. */
export interface Inventory {
  images: { stored: StoredImage; keys: ReadonlySet<string> }[];
  /** What containers hold, whatever becomes of their images' names. */
  held: ReadonlySet<string>;
  sizes: ReadonlyMap<string, number>;
}

const BLOB = 'content/';
const SNAPSHOT = 'snapshot/';
/** By such labels a session's container holds its image. */
const MANIFEST_LABEL = 'containerd.io/gc.ref.content.';

/** Takes stock of all content and snapshots, and of who refers to what. */
export async function takeInventory(channel: Channel, snapshotter: string): Promise<Inventory> {
  const sizes = new Map<string, number>();
  for await (const { info } of channel.serverStream(ContentService.list, { filters: [] })) {
    for (const { digest, size } of info) sizes.set(BLOB + digest, Number(size));
  }
  const parents = new Map<string, string>();
  for await (const { name, parent } of listSnapshots(channel, snapshotter)) {
    parents.set(name, parent);
    // One that went meanwhile takes nothing any more.
    sizes.set(SNAPSHOT + name, (await readSnapshotUsage(channel, snapshotter, name)) ?? 0);
  }
  const images: Inventory['images'] = [];
  for (const stored of await listImages(channel)) {
    images.push({ stored, keys: await listKeys({ channel, subject: stored.name, target: stored.target }) });
  }
  return { images, held: await listHeld(channel, parents), sizes };
}

export function summarizeUsage({ images, held, sizes }: Inventory): ImageUsage {
  const users = new Map<string, number>();
  for (const { keys } of images) for (const key of keys) users.set(key, (users.get(key) ?? 0) + 1);
  const isUnique = (key: string) => users.get(key) === 1 && !held.has(key);
  const add = (keys: Iterable<string>) => [...keys].reduce((total, key) => total + (sizes.get(key) ?? 0), 0);
  const contentBytes = add([...sizes.keys()].filter((key) => key.startsWith(BLOB)));
  const snapshotBytes = add([...sizes.keys()].filter((key) => key.startsWith(SNAPSHOT)));
  return {
    images: images.map(({ stored, keys }) => ({
      name: stored.name,
      bytes: add(keys),
      uniqueBytes: add([...keys].filter(isUnique)),
    })),
    contentBytes,
    snapshotBytes,
    totalBytes: contentBytes + snapshotBytes,
  };
}

/** What an image refers to, its unpacked layers included. */
async function listKeys(tree: ImageTree): Promise<Set<string>> {
  const keys = new Set<string>([BLOB + tree.target.digest]);
  try {
    for await (const { descriptor, index } of walkDocuments(tree)) {
      keys.add(BLOB + descriptor.digest);
      if (index === undefined) for (const key of await listManifestKeys(tree, descriptor)) keys.add(key);
    }
  } catch (error) {
    // An image that lost its documents takes what is left of it.
    if (!hasCode(error, 'data-loss', 'invalid-argument')) throw error;
  }
  return keys;
}

async function listManifestKeys(tree: ImageTree, descriptor: { mediaType: string; digest: string; size: number }) {
  try {
    const { config, layers } = await readManifest(tree, descriptor);
    const blobs = [config, ...layers].map(({ digest }) => BLOB + digest);
    const { diffIds } = await loadManifest(tree, descriptor);
    return [...blobs, ...computeChainIds(diffIds).map((id) => SNAPSHOT + id)];
  } catch (error) {
    // Other platforms' content is not there, and other things than images are not unpacked.
    if (hasCode(error, 'data-loss', 'invalid-argument')) return [];
    throw error;
  }
}

async function listHeld(channel: Channel, parents: ReadonlyMap<string, string>): Promise<Set<string>> {
  const held = new Set<string>();
  const { containers } = await channel.unary(ContainersService.list, { filters: [] });
  for (const { id, snapshotKey, labels } of containers) {
    for (let name = snapshotKey; name !== ''; name = parents.get(name) ?? '') held.add(SNAPSHOT + name);
    for (const [label, digest] of Object.entries(labels)) {
      if (!label.startsWith(MANIFEST_LABEL)) continue;
      const target = { mediaType: OCI_MANIFEST, digest, size: 0 };
      for (const key of await listKeys({ channel, subject: id, target })) held.add(key);
    }
  }
  return held;
}
