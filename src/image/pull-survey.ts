import { findBlobs } from './content.js';
import { computeChainIds } from './image.js';
import { labelSource, type PullStore } from './pull-blob.js';
import type { TransferWork } from './pull-transfer.js';
import { DEFAULT_SNAPSHOTTER } from './unpack.js';
import { UnpackBudget } from './unpack-budget.js';

/** What the daemon brings and unpacks by itself: the lease that holds it says what is there. */
export class PullSurvey {
  /** Digests of layers that are there. */
  readonly whole = new Set<string>();
  readonly #store: PullStore;
  readonly #work: TransferWork;
  readonly #chain: readonly string[];
  readonly #budget: UnpackBudget;
  readonly #counted = new Set<string>();

  constructor(store: PullStore, work: TransferWork) {
    const { image, options } = work;
    this.#store = store;
    this.#work = work;
    this.#chain = computeChainIds(image.diffIds);
    this.#budget = new UnpackBudget(store.leased.channel, DEFAULT_SNAPSHOTTER, options.maxUnpackedBytes);
  }

  /** Throws `resource-exhausted` for what is unpacked by now. */
  async look(): Promise<void> {
    const held = await this.#store.leased.list();
    const list = (wanted: string) => held.filter(({ type }) => type === wanted).map(({ id }) => id);
    this.#noteWhole(new Set(list('content')));
    const keys = new Set(list(`snapshots/${DEFAULT_SNAPSHOTTER}`));
    const unpacked = this.#chain.filter((key) => keys.delete(key));
    await this.#count(unpacked);
    await this.#budget.check([...keys], this.#work.image.name);
    this.#work.onLayer(unpacked.length);
  }

  /**
   * The last look, at what others have unpacked as well. Resolves with the digests of layers that are there as they must
   * be.
   */
  async finish(): Promise<ReadonlySet<string>> {
    await this.look();
    await this.#count(this.#chain);
    const { leased, signal } = this.#store;
    const found = await findBlobs(leased.channel, [...this.whole], { signal });
    const adopted = this.#work.layers.filter(({ digest, size }) => found.get(digest)?.size === size);
    // The daemon labels them by itself, as the last that it does to one.
    for (const { digest } of adopted) await labelSource(this.#store, digest, found.get(digest)?.labels ?? {});
    return new Set(adopted.map(({ digest }) => digest));
  }

  #noteWhole(held: ReadonlySet<string>): void {
    for (const layer of this.#work.layers) {
      if (!held.has(layer.digest) || this.whole.has(layer.digest)) continue;
      this.whole.add(layer.digest);
      this.#work.onBytes(layer, layer.size);
    }
  }

  /** Each once: what is committed grows no more. */
  async #count(keys: readonly string[]): Promise<void> {
    for (const key of keys) {
      if (this.#counted.has(key)) continue;
      await this.#budget.add(key, `layer ${this.#chain.indexOf(key) + 1} of ${this.#work.image.name}`);
      this.#counted.add(key);
    }
  }
}
