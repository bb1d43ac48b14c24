import { Readable } from 'node:stream';
import { hasCode } from '../core/error.js';
import type { ArchiveSource } from '../image/archive.js';
import { type BuildOptions, buildImage } from '../image/build.js';
import { type ExportOptions, exportImages } from '../image/export.js';
import { findImage, type Image, listImages, recordImage, type StoredImage } from '../image/image.js';
import { type ImportOptions, importArchive } from '../image/import.js';
import { type ImageDetails, inspectImage } from '../image/inspect.js';
import { type PruneOptions, type PruneReport, pruneImages } from '../image/prune.js';
import { pullImage } from '../image/pull.js';
import type { PullOptions } from '../image/pull-options.js';
import { PullWatch } from '../image/pull-watch.js';
import { type PushedImage, type PushOptions, pushImage } from '../image/push.js';
import { normalizeReference } from '../image/reference.js';
import type { RegistryOptions } from '../image/registry/options.js';
import { type ImageUsage, summarizeUsage, takeInventory } from '../image/usage.js';
import { type RemoveUsedImageOptions, removeUnusedImage } from '../image/users.js';
import type { Channel } from '../rpc/channel.js';

export interface ImagesContext {
  channel: Channel;
  snapshotter: string;
  /** How registries are reached when a call does not say. */
  registry: RegistryOptions;
}

/** The images of one containerd namespace, whoever brought them. */
export class Images {
  readonly #open: () => Promise<ImagesContext>;

  /** @internal */
  constructor(open: () => Promise<ImagesContext>) {
    this.#open = open;
  }

  /** Every name of the namespace. */
  async *list(): AsyncGenerator<StoredImage, void, undefined> {
    const { channel } = await this.#open();
    yield* await listImages(channel);
  }

  /** Config, platforms, layers and sizes. Throws `not-found` for a name that is not there. */
  async inspect(reference: string): Promise<ImageDetails> {
    const { channel, snapshotter } = await this.#open();
    return inspectImage(channel, reference, { snapshotter });
  }

  /** Whether the namespace has the name. Throws `invalid-argument` for a reference that is none. */
  async exists(reference: string): Promise<boolean> {
    const { channel } = await this.#open();
    try {
      await findImage(channel, reference);
      return true;
    } catch (error) {
      if (hasCode(error, 'not-found')) return false;
      throw error;
    }
  }

  /** Gives an image another name as well. A name that there is stands for this image from now on. */
  async tag(reference: string, name: string): Promise<void> {
    const wanted = normalizeReference(name);
    const { channel } = await this.#open();
    const { target, origin } = await findImage(channel, reference);
    await recordImage(channel, { name: wanted, target, origin });
  }

  /**
   * Removes a name; what only it stood for is collected, at once with `sync`. Throws `failed-precondition` that names
   * the sessions which were made of it, unless `force` is given, and `not-found`.
   */
  async remove(reference: string, options: RemoveUsedImageOptions = {}): Promise<void> {
    const { channel } = await this.#open();
    await removeUnusedImage(channel, reference, options);
  }

  /** Brings an image from its registry, whether or not it is there already, and unpacks it; see docs/images.md. */
  async pull(reference: string, options: PullOptions = {}): Promise<Image> {
    const { channel, snapshotter, registry } = await this.#open();
    return pullImage(channel, reference, { snapshotter, ...options, registry: { ...registry, ...options.registry } });
  }

  /** The same as `pull`, to be watched: an iteration tells how far it is, `image` is what comes of it. */
  watchPull(reference: string, options: PullOptions = {}): PullWatch {
    const { onProgress } = options;
    return new PullWatch((tell) =>
      this.pull(reference, {
        ...options,
        onProgress: (progress) => {
          onProgress?.(progress);
          tell(progress);
        },
      }),
    );
  }

  /** Sends an image to a registry, under its own name or another; what the registry has already is not sent. */
  async push(reference: string, options: PushOptions = {}): Promise<PushedImage> {
    const { channel, registry } = await this.#open();
    return pushImage(channel, reference, { ...options, registry: { ...registry, ...options.registry } });
  }

  /** Imports the images of a docker-archive or an OCI layout, a tar that may be compressed with gzip. */
  async import(archive: ArchiveSource, options: ImportOptions = {}): Promise<Image[]> {
    const { channel, snapshotter } = await this.#open();
    return importArchive(channel, archive, { snapshotter, ...options });
  }

  /**
   * Images as the bytes of one tar, an OCI layout and a docker-archive at once: `docker load`, `ctr images import`,
   * skopeo and `import` read it. Blobs keep their digests. The stream fails with `not-found` and `data-loss` before its
   * first byte; what is not read to the end is to be destroyed.
   */
  export(references: string | readonly string[], options: ExportOptions = {}): Readable {
    const open = this.#open;
    const list = typeof references === 'string' ? [references] : references;
    return Readable.from(
      (async function* () {
        const { channel } = await open();
        yield* exportImages(channel, list, options);
      })(),
      { objectMode: false },
    );
  }

  /**
   * Builds an image from a Dockerfile by an engine of this host, BuildKit or buildah, and imports it. Throws
   * `failed-precondition` where there is none, and `unknown` with the engine's last lines when the build fails.
   */
  async build(options: BuildOptions): Promise<Image> {
    const { channel, snapshotter } = await this.#open();
    return buildImage(channel, options, { snapshotter });
  }

  /** Bytes of the namespace's images, content and snapshots. Walks the files of every session. */
  async usage(): Promise<ImageUsage> {
    const { channel, snapshotter } = await this.#open();
    return summarizeUsage(await takeInventory(channel, snapshotter));
  }

  /** Removes images that no session and no other client's container was made of, and collects what only they held. */
  async prune(options: PruneOptions = {}): Promise<PruneReport> {
    const { channel, snapshotter } = await this.#open();
    return pruneImages(channel, snapshotter, options);
  }
}
