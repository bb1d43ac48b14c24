import type { Image } from './image.js';
import type { PullProgress } from './pull-options.js';

/**
 * A pull under way. Its iteration tells how far it is and ends with it, or rejects as it does. Who reads slowly is told
 * the present and not all that was before. A loop that is left early leaves the pull alone: its `signal` ends it.
 */
export class PullWatch implements AsyncIterable<PullProgress> {
  /** Rejects as `images.pull` does. */
  readonly image: Promise<Image>;
  #latest: PullProgress | undefined;
  #isOver = false;
  #changed: Promise<void>;
  #tell: () => void = () => undefined;

  /** @internal */
  constructor(start: (onProgress: (progress: PullProgress) => void) => Promise<Image>) {
    this.#changed = this.#renew();
    this.image = start((progress) => {
      this.#latest = progress;
      this.#announce();
    });
    const end = () => {
      this.#isOver = true;
      this.#announce();
    };
    // Whoever awaits it, or iterates, is told of a failure.
    this.image.then(end, end);
  }

  /** May be called several times at once; each is told. */
  async *[Symbol.asyncIterator](): AsyncGenerator<PullProgress, void, undefined> {
    for (let seen: PullProgress | undefined; ; ) {
      const changed = this.#changed;
      if (this.#latest !== undefined && this.#latest !== seen) {
        seen = this.#latest;
        yield seen;
      } else if (this.#isOver) break;
      else await changed;
    }
    await this.image;
  }

  #announce(): void {
    const tell = this.#tell;
    this.#changed = this.#renew();
    tell();
  }

  #renew(): Promise<void> {
    return new Promise((resolve) => {
      this.#tell = resolve;
    });
  }
}
