import { DriverError, hasCode } from '../core/error.js';
import type { Channel } from '../rpc/channel.js';
import { ensureLabels, type Labels, readBlob } from './content.js';
import {
  type ConfigFile,
  type Descriptor,
  type Index,
  type Manifest,
  type Platform,
  parseConfigFile,
  parseIndex,
  parseJson,
  parseManifest,
  type TypedBlob,
} from './document.js';
import { checkConfig, checkLayer, checkTarget, isIndex, isManifest } from './media-type.js';
import { formatPlatform, ratePlatform } from './platform.js';

/** An image's documents, on their way from the target to the layers. */
export interface ImageTree {
  channel: Channel;
  /** Names the image in messages. */
  subject: string;
  target: Descriptor | TypedBlob;
  /** Sizes of the only content to be used, by digest. Defaults to all that the store has. */
  sizes?: ReadonlyMap<string, number> | undefined;
  /** Where documents come from. Defaults to the store. */
  read?: ((blob: TypedBlob) => Promise<Uint8Array>) | undefined;
  signal?: AbortSignal | undefined;
}

export interface ChosenManifest extends ConfigFile {
  descriptor: Descriptor;
  configDescriptor: Descriptor;
  layers: Descriptor[];
}

const operation = 'read image';

/**
 * Follows an image's target to the manifest for a platform, and checks that containers can be made of it. Throws
 * `not-found` with the list of what there is, `data-loss` for missing content, `invalid-argument` for what is no image.
 */
export async function chooseManifest(tree: ImageTree, platform: Platform): Promise<ChosenManifest> {
  const offers: { descriptor: Descriptor; platform: Partial<Platform>; loaded?: ChosenManifest }[] = [];
  const unusable: DriverError[] = [];
  for await (const { descriptor, index } of walkDocuments(tree)) {
    if (index !== undefined) continue;
    if (descriptor.platform !== undefined) {
      offers.push({ descriptor, platform: descriptor.platform });
      continue;
    }
    try {
      const loaded = await loadManifest(tree, descriptor);
      offers.push({ descriptor, platform: loaded.platform, loaded });
    } catch (error) {
      // An index may hold other things beside images; they matter only when there is nothing else.
      if (!hasCode(error, 'invalid-argument', 'data-loss')) throw error;
      unusable.push(error);
    }
  }
  const [best] = offers
    .map((offer) => ({ ...offer, rating: ratePlatform(offer.platform, platform) }))
    .filter(({ rating }) => rating > 0)
    .sort((a, b) => b.rating - a.rating);
  if (best !== undefined) return best.loaded ?? loadManifest(tree, best.descriptor);
  if (offers.length === 0 && unusable[0] !== undefined) throw unusable[0];
  const there = [...new Set(offers.map((offer) => formatPlatform(offer.platform)))].join(', ') || 'nothing';
  const message = `${tree.subject} has nothing for ${formatPlatform(platform)}, only for ${there}`;
  throw new DriverError('not-found', message, { operation });
}

/**
 * Labels every document of an image with what it refers to, so that the garbage collector keeps all of an image that
 * has a name. What is not there, such as other platforms' content, is passed over.
 */
export async function labelReferences(tree: ImageTree): Promise<void> {
  const { channel, sizes, signal } = tree;
  for await (const { descriptor, index } of walkDocuments(tree)) {
    const { digest } = descriptor;
    const labels: Labels = {};
    if (index !== undefined) {
      for (const [i, child] of index.manifests.entries()) labels[`containerd.io/gc.ref.content.m.${i}`] = child.digest;
    } else if (sizes?.has(digest) !== false) {
      const manifest = await readManifest(tree, descriptor);
      labels['containerd.io/gc.ref.content.config'] = manifest.config.digest;
      for (const [i, layer] of manifest.layers.entries()) labels[`containerd.io/gc.ref.content.l.${i}`] = layer.digest;
    }
    await ensureLabels(channel, digest, labels, { signal });
  }
}

/** The indexes and manifests of an image. Each index once: a few that name each other over and over have no end. */
export async function* walkDocuments(tree: ImageTree): AsyncGenerator<{ descriptor: Descriptor; index?: Index }> {
  const { subject, target } = tree;
  checkTarget(target.mediaType, subject);
  const seen = new Set<string>();
  const queue: Descriptor[] = [target];
  for (const descriptor of queue) {
    if (isManifest(descriptor.mediaType)) yield { descriptor };
    if (!isIndex(descriptor.mediaType) || seen.has(descriptor.digest)) continue;
    seen.add(descriptor.digest);
    const index = parseIndex(await readDocument(tree, descriptor), `index ${descriptor.digest} of ${subject}`);
    yield { descriptor, index };
    queue.push(...index.manifests);
  }
}

/** Reads a manifest and its config, and checks that containers can be made of it. */
export async function loadManifest(tree: ImageTree, descriptor: Descriptor): Promise<ChosenManifest> {
  const { subject } = tree;
  const manifest = await readManifest(tree, descriptor);
  checkConfig(manifest.config.mediaType, subject);
  for (const [i, layer] of manifest.layers.entries()) {
    const what = `layer ${i + 1} (${layer.digest})`;
    checkLayer(layer.mediaType, `${what} of ${subject}`);
    checkPresence(tree, layer, what);
  }
  const file = parseConfigFile(
    await readDocument(tree, manifest.config),
    `config ${manifest.config.digest} of ${subject}`,
  );
  if (file.diffIds.length !== manifest.layers.length) {
    const message = `${subject} has ${manifest.layers.length} layers, its config has ${file.diffIds.length}`;
    throw new DriverError('invalid-argument', message, { operation });
  }
  return { ...file, descriptor, configDescriptor: manifest.config, layers: manifest.layers };
}

/** What a manifest refers to, whatever that is. */
export async function readManifest(tree: ImageTree, descriptor: TypedBlob): Promise<Manifest> {
  return parseManifest(await readDocument(tree, descriptor), `manifest ${descriptor.digest} of ${tree.subject}`);
}

async function readDocument(tree: ImageTree, descriptor: TypedBlob): Promise<unknown> {
  const { channel, subject, signal, read } = tree;
  const { digest } = descriptor;
  if (read !== undefined) return parseJson(await read(descriptor), `${digest} of ${subject}`);
  checkPresence(tree, descriptor, digest);
  try {
    return parseJson(await readBlob(channel, digest, { signal }), `${digest} of ${subject}`);
  } catch (cause) {
    if (!hasCode(cause, 'not-found')) throw cause;
    throw new DriverError('data-loss', `${digest} of ${subject} is missing`, { operation, cause });
  }
}

function checkPresence({ subject, sizes }: ImageTree, { digest, size }: TypedBlob, what: string): void {
  if (sizes === undefined) return;
  const found = sizes.get(digest);
  if (found === undefined) throw new DriverError('data-loss', `${what} of ${subject} is missing`, { operation });
  if (found === size) return;
  throw new DriverError('data-loss', `${what} of ${subject} has ${found} bytes, not ${size}`, { operation });
}
