import type { Channel } from '../rpc/channel.js';
import { readBlob } from './content.js';
import { writeBlob, yieldOnce } from './content-write.js';
import type { DiffLayer } from './diff.js';
import { expectArray, expectRecord, parseJson, type TypedBlob } from './document.js';
import { type Image, type ImageOrigin, recordImage, resolveImage } from './image.js';
import type { Leased } from './lease.js';
import { OCI_CONFIG, OCI_MANIFEST, toOciLayer } from './media-type.js';
import { getHostPlatform } from './platform.js';
import { type UnpackOptions, unpackImage } from './unpack.js';

/** An image by what it is, whatever its name stands for by now. Throws `data-loss` when its content is not there. */
export function readImage(
  channel: Channel,
  { name, manifest, signal }: { name: string; manifest: TypedBlob; signal?: AbortSignal | undefined },
): Promise<Image> {
  // The one manifest fits: it was chosen already.
  return resolveImage({ channel, subject: name, target: manifest, signal }, { name, platform: getHostPlatform() });
}

export interface NewImage {
  name: string;
  /** The image that it goes on from. */
  from: Image;
  layer: DiffLayer;
  origin: ImageOrigin;
  comment: string;
}

/**
 * Makes an image of another one and a layer on top, and names it when all of it is there. Its config is the other's
 * with one more entry in its history; the manifest is an OCI one, whatever the other's was.
 */
export async function createImage(
  leased: Leased,
  { name, from, layer, origin, comment }: NewImage,
  { snapshotter, signal }: UnpackOptions = {},
): Promise<Image> {
  const { channel, hold } = leased;
  await hold({ type: 'content', id: from.manifest.digest });
  const subject = `config ${from.configDigest} of ${from.name}`;
  const file = expectRecord(parseJson(await readBlob(channel, from.configDigest, { signal }), subject), subject);
  const history = expectArray(file.history ?? [], `history of ${subject}`);
  const created = new Date().toISOString();
  const config = {
    ...file,
    created,
    rootfs: { ...expectRecord(file.rootfs, `rootfs of ${subject}`), diff_ids: [...from.diffIds, layer.diffId] },
    // One entry a layer, or none at all.
    ...(history.length === 0 && from.layers.length > 0
      ? {}
      : { history: [...history, { created, created_by: `session ${origin.session}`, comment }] }),
  };
  const configBlob = await writeDocument(leased, OCI_CONFIG, config, {}, signal);
  const layers = [...from.layers.map(toOciLayer), layer.blob];
  const labels = Object.fromEntries([
    ['containerd.io/gc.ref.content.config', configBlob.digest],
    ...layers.map(({ digest }, i) => [`containerd.io/gc.ref.content.l.${i}`, digest]),
  ]);
  const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, config: configBlob, layers };
  const target = await writeDocument(leased, OCI_MANIFEST, manifest, labels, signal);
  const image = await readImage(channel, { name, manifest: target, signal });
  await unpackImage(leased, image, { snapshotter, signal });
  await recordImage(channel, { name, target, origin });
  return image;
}

async function writeDocument(
  leased: Leased,
  mediaType: string,
  document: unknown,
  labels: Record<string, string>,
  signal: AbortSignal | undefined,
): Promise<TypedBlob> {
  const bytes = Buffer.from(JSON.stringify(document));
  const source = { data: yieldOnce(bytes), subject: mediaType, size: bytes.length, labels };
  const blob = await writeBlob(leased, source, { signal });
  return { mediaType, ...blob };
}
