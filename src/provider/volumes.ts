import type { SessionContext } from '../session/context.js';
import {
  createVolume,
  inspectVolume,
  listVolumes,
  pruneVolumes,
  removeVolume,
  type Volume,
  type VolumeDetails,
  type VolumeOwner,
  type VolumePruneOptions,
  type VolumePruneReport,
} from '../session/volumes.js';

/** Named directories that sessions mount with `type: 'volume'` and that outlive them. */
export class Volumes {
  readonly #open: () => Promise<SessionContext>;

  /** @internal */
  constructor(open: () => Promise<SessionContext>) {
    this.#open = open;
  }

  /**
   * Makes a volume ahead of its first use, which would make it too, for the session's user. Throws `already-exists`,
   * and `invalid-argument` for a name that cannot be one.
   */
  async create(name: string, owner: VolumeOwner = {}): Promise<Volume> {
    return createVolume(await this.#open(), name, owner);
  }

  /** All of this daemon and namespace, by name, with the sessions that use them. */
  async *list(): AsyncGenerator<Volume, void, undefined> {
    yield* await listVolumes(await this.#open());
  }

  /** With its size, for which every file of it is looked at. Throws `not-found`. */
  async inspect(name: string): Promise<VolumeDetails> {
    return inspectVolume(await this.#open(), name);
  }

  /** Throws `failed-precondition` while a session uses it, stopped ones included, and `not-found`. */
  async remove(name: string): Promise<void> {
    await removeVolume(await this.#open(), name);
  }

  /** Removes volumes that no session uses, by age, by size or by both. */
  async prune(options: VolumePruneOptions): Promise<VolumePruneReport> {
    return pruneVolumes(await this.#open(), options);
  }
}
