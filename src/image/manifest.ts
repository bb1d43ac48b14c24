import { DriverError, hasCode } from '../core/error.js';
import type { Channel } from '../rpc/channel.js';
import { type Labels, readBlob, setLabels } from './content.js';
import {
  type ConfigFile,
  type Descriptor,
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
  for await (const descriptor of walkManifests(tree)) {
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
  const { channel, subject, target, sizes, signal } = tree;
  if (sizes?.has(target.digest) === false) return;
  if (isIndex(target.mediaType)) {
    const { manifests } = parseIndex(await readDocument(tree, target), `index ${target.digest} of ${subject}`);
    const labels = manifests.map(({ digest }, i) => [`containerd.io/gc.ref.content.m.${i}`, digest]);
    await setLabels(channel, target.digest, Object.fromEntries(labels), { signal });
    for (const manifest of manifests) await labelReferences({ ...tree, target: manifest });
  } else if (isManifest(target.mediaType)) {
    const { config, layers } = parseManifest(
      await readDocument(tree, target),
      `manifest ${target.digest} of ${subject}`,
    );
    const labels: Labels = { 'containerd.io/gc.ref.content.config': config.digest };
    for (const [i, { digest }] of layers.entries()) labels[`containerd.io/gc.ref.content.l.${i}`] = digest;
    await setLabels(channel, target.digest, labels, { signal });
  }
}

async function* walkManifests(tree: ImageTree): AsyncGenerator<Descriptor> {
  const { subject, target } = tree;
  checkTarget(target.mediaType, subject);
  if (!isIndex(target.mediaType)) {
    yield target;
    return;
  }
  const { manifests } = parseIndex(await readDocument(tree, target), `index ${target.digest} of ${subject}`);
  for (const manifest of manifests) {
    if (isIndex(manifest.mediaType) || isManifest(manifest.mediaType)) {
      yield* walkManifests({ ...tree, target: manifest });
    }
  }
}

async function loadManifest(tree: ImageTree, descriptor: Descriptor): Promise<ChosenManifest> {
  const { subject } = tree;
  const manifest = parseManifest(await readDocument(tree, descriptor), `manifest ${descriptor.digest} of ${subject}`);
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

async function readDocument(tree: ImageTree, descriptor: TypedBlob): Promise<unknown> {
  const { channel, subject, signal } = tree;
  const { digest } = descriptor;
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
