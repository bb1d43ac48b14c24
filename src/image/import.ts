import { Cleanup } from '../core/cleanup.js';
import { addSuppressed, DriverError } from '../core/error.js';
import { ImagesService } from '../generated/github.com/containerd/containerd/api/services/images/v1/images.js';
import type { Channel } from '../rpc/channel.js';
import type { ArchiveSource } from './archive.js';
import { findDockerImages } from './docker-archive.js';
import type { Platform } from './document.js';
import { type Image, type ListedImage, recordImage, resolveImage } from './image.js';
import { type IngestedArchive, ingestArchive } from './ingest.js';
import { type Leased, withOwnLease } from './lease.js';
import { labelReferences } from './manifest.js';
import { type FoundImage, findOciImages } from './oci-layout.js';
import { getHostPlatform } from './platform.js';
import { normalizeReference } from './reference.js';
import { type UnpackOptions, unpackImage } from './unpack.js';

/** What of an archive to import. */
export interface ImportOptions extends UnpackOptions {
  /** Name for the archive's one image, instead of the names that the archive gives it. */
  reference?: string | undefined;
  /** Which of an image's platforms to unpack. Defaults to Linux on this machine's processor. */
  platform?: Platform | undefined;
}

const operation = 'import image';

/**
 * Imports the images of a docker-archive or of an OCI layout in a tar, plain or compressed with gzip, and unpacks them.
 * An image of the same name is replaced. All or nothing: names are given when everything is verified, and after a
 * failure nothing of the archive stays. The caller's lease, if the channel has one, is not used: the names hold it all.
 *
 * Throws `invalid-argument` for an archive or reference that is none, `not-found` without the file or the platform,
 * `data-loss` for an archive that is truncated, incomplete or does not have the digests that it says.
 */
export async function importArchive(
  channel: Channel,
  source: ArchiveSource,
  options: ImportOptions = {},
): Promise<Image[]> {
  const { reference, platform = getHostPlatform(), snapshotter, maxUnpackedBytes, signal } = options;
  const wanted = reference === undefined ? undefined : normalizeReference(reference);
  const work = async (leased: Leased) => {
    const archive = await ingestArchive(leased, source, { signal });
    const images: Image[] = [];
    for (const { name, target } of nameImages(archive, await findImages(leased, archive, signal), wanted)) {
      const subject = `${name} in ${archive.name}`;
      const tree = { channel: leased.channel, subject, target, sizes: archive.blobs, signal };
      const image = await resolveImage(tree, { name, platform });
      await labelReferences(tree);
      await unpackImage(leased, image, { snapshotter, maxUnpackedBytes, subject, signal });
      images.push(image);
    }
    await recordImages(leased.channel, images);
    return images;
  };
  return withOwnLease(channel, work, { signal });
}

/** The newer `docker save` writes both forms; the OCI one says more. */
function findImages(leased: Leased, archive: IngestedArchive, signal: AbortSignal | undefined): Promise<FoundImage[]> {
  if (archive.documents.has('oci-layout')) return findOciImages(leased, archive, { signal });
  if (archive.documents.has('manifest.json')) return findDockerImages(leased, archive, { signal });
  const message = `${archive.name} is neither a docker archive nor an OCI layout: it has no manifest.json and no oci-layout`;
  throw new DriverError('invalid-argument', message, { operation });
}

function nameImages(archive: IngestedArchive, found: FoundImage[], wanted: string | undefined): ListedImage[] {
  if (wanted !== undefined) {
    const [only, ...more] = found;
    if (only !== undefined && more.length === 0) return [{ name: wanted, target: only.target }];
    const message = `${archive.name} has ${found.length} images, which cannot all be named ${wanted}`;
    throw new DriverError('invalid-argument', message, { operation });
  }
  if (found.some(({ names }) => names.length === 0)) {
    const message = `an image in ${archive.name} has no name: import it with a reference`;
    throw new DriverError('invalid-argument', message, { operation });
  }
  return found.flatMap(({ names, target }) => names.map((name) => ({ name, target })));
}

/** Without the caller's signal: a cancellation in this moment could leave a name behind. */
async function recordImages(channel: Channel, images: Image[]): Promise<void> {
  const undo = new Cleanup();
  try {
    for (const image of images) {
      const isNew = await recordImage(channel, image);
      if (isNew) undo.defer(image.name, () => channel.unary(ImagesService.delete, { name: image.name, sync: false }));
    }
  } catch (error) {
    const failure = await undo.run();
    throw addSuppressed(error, failure === undefined ? [] : [failure.error]);
  }
}
