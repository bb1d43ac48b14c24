import { Cleanup } from '../core/cleanup.js';
import { addSuppressed, createInputError, DriverError } from '../core/error.js';
import type { Channel } from '../rpc/channel.js';
import { findBlob, streamBlob } from './content.js';
import { type Descriptor, type Platform, pickBlob, type TypedBlob } from './document.js';
import { findImage, type StoredImage } from './image.js';
import { acquireLease, type Leased } from './lease.js';
import { chooseManifest, type ImageTree, readManifest, walkDocuments } from './manifest.js';
import { isConfig, OCI_INDEX } from './media-type.js';
import { CONTAINERD_NAME, OCI_NAME } from './oci-layout.js';
import { getHostPlatform, ratePlatform } from './platform.js';
import { parseReference } from './reference.js';
import { type TarFile, writeTar } from './tar.js';

/** What of images to export. */
export interface ExportOptions {
  /** The one platform to export. Defaults to all that the store has whole, under the digest of the whole image. */
  platform?: Platform | undefined;
  /** Ends the stream with `canceled`. */
  signal?: AbortSignal | undefined;
}

interface ExportedManifest {
  config: TypedBlob;
  layers: TypedBlob[];
  isForHost: boolean;
}

interface ExportedImage {
  name: string;
  target: TypedBlob;
  blobs: TypedBlob[];
  /** Of those that containers can be made of. */
  manifests: ExportedManifest[];
}

const operation = 'export image';

/**
 * Images as one tar that is an OCI layout and a docker-archive at once, so that every importer reads it, with flat
 * memory. Blobs keep their digests. Throws `not-found` for a name or a platform that is not there and `data-loss` for
 * missing content, before the first byte.
 */
export async function* exportImages(
  channel: Channel,
  references: readonly string[],
  { platform, signal }: ExportOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  if (references.length === 0) {
    throw createInputError('export', [{ path: 'references', value: references, expected: 'at least one image' }]);
  }
  const undo = new Cleanup();
  const failures: unknown[] = [];
  try {
    const leased = await acquireLease(channel, undo, { signal });
    const images: ExportedImage[] = [];
    for (const reference of new Set(references)) {
      images.push(await readImage(leased, await findImage(channel, reference, { signal }), platform, signal));
    }
    yield* writeTar(listFiles(channel, images, signal));
  } catch (error) {
    failures.push(error);
  } finally {
    // Left by its reader in the middle, a generator gets no further than this.
    const failure = await undo.run();
    if (failure !== undefined) failures.push(failure.error);
  }
  if (failures.length > 0) throw addSuppressed(failures[0], failures.slice(1));
}

async function readImage(
  { channel, hold }: Leased,
  { name, target }: StoredImage,
  platform: Platform | undefined,
  signal: AbortSignal | undefined,
): Promise<ExportedImage> {
  // What it refers to is held with it: its labels say so to the garbage collector.
  await hold({ type: 'content', id: target.digest });
  const whole: ImageTree = { channel, subject: name, target, signal };
  const chosen = platform === undefined ? target : pickBlob((await chooseManifest(whole, platform)).descriptor);
  const tree = { ...whole, target: chosen };
  const image: ExportedImage = { name, target: chosen, blobs: [], manifests: [] };
  let lost: DriverError | undefined;
  for await (const { descriptor, index } of walkDocuments(tree)) {
    if (index !== undefined) {
      image.blobs.push(pickBlob(descriptor));
      continue;
    }
    const missing = await readPart(tree, descriptor, image);
    if (missing !== undefined) {
      lost ??= new DriverError('data-loss', `${missing} of ${name} is missing`, { operation });
    }
  }
  if (image.manifests.length === 0 && lost !== undefined) throw lost;
  return image;
}

/** Adds one manifest with all that it refers to. Other platforms' content may not be there: resolves with its digest. */
async function readPart(tree: ImageTree, descriptor: Descriptor, image: ExportedImage): Promise<string | undefined> {
  const { channel, signal } = tree;
  if ((await findBlob(channel, descriptor.digest, { signal })) === undefined) return descriptor.digest;
  const { config, layers } = await readManifest(tree, descriptor);
  const blobs = [descriptor, config, ...layers].map(pickBlob);
  for (const { digest } of blobs) {
    if ((await findBlob(channel, digest, { signal })) === undefined) return digest;
  }
  image.blobs.push(...blobs);
  const isForHost = descriptor.platform === undefined || ratePlatform(descriptor.platform, getHostPlatform()) > 0;
  if (isConfig(config.mediaType)) image.manifests.push({ config, layers, isForHost });
  return undefined;
}

function* listFiles(
  channel: Channel,
  images: readonly ExportedImage[],
  signal: AbortSignal | undefined,
): Generator<TarFile, void, undefined> {
  yield describeDocument('oci-layout', { imageLayoutVersion: '1.0.0' });
  yield describeDocument('index.json', {
    schemaVersion: 2,
    mediaType: OCI_INDEX,
    manifests: images.map(describeImage),
  });
  yield describeDocument('manifest.json', describeForDocker(images));
  yield { path: 'blobs/', size: 0 };
  yield { path: 'blobs/sha256/', size: 0 };
  const blobs = new Map(images.flatMap((image) => image.blobs.map(({ digest, size }) => [digest, size])));
  for (const [digest, size] of blobs) {
    yield { path: nameBlob(digest), size, data: streamBlob(channel, digest, { signal }) };
  }
}

function describeDocument(path: string, document: unknown): TarFile {
  const data = Buffer.from(JSON.stringify(document));
  return { path, size: data.length, data: [data] };
}

function describeImage({ name, target }: ExportedImage) {
  const { tag } = parseReference(name);
  return { ...target, annotations: { [CONTAINERD_NAME]: name, [OCI_NAME]: tag ?? name } };
}

/** Docker's form knows one platform of an image. */
function describeForDocker(images: readonly ExportedImage[]) {
  const items = new Map<string, { Config: string; RepoTags: string[]; Layers: string[] }>();
  for (const { name, manifests } of images) {
    const chosen = manifests.find(({ isForHost }) => isForHost) ?? manifests[0];
    if (chosen === undefined) continue;
    const Config = nameBlob(chosen.config.digest);
    const item = items.get(Config) ?? {
      Config,
      RepoTags: [],
      Layers: chosen.layers.map(({ digest }) => nameBlob(digest)),
    };
    if (parseReference(name).digest === undefined) item.RepoTags.push(name);
    items.set(Config, item);
  }
  return [...items.values()];
}

function nameBlob(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`;
}
