import { DriverError } from '../core/error.js';
import type { TypedBlob } from './document.js';
import type { PullOptions } from './pull-options.js';

const MAX_BYTES = 20 * 1024 ** 3;
/** What comes in between is not told. */
const STEP_BYTES = 1024 ** 2;

/** Adds up how far the blobs of one image have come. */
export class PullCounter {
  readonly #total: number;
  readonly #onProgress: PullOptions['onProgress'];
  readonly #bytes = new Map<string, number>();

  /** Throws `resource-exhausted` when the blobs together are beyond the budget. */
  constructor(name: string, blobs: readonly TypedBlob[], { maxBytes = MAX_BYTES, onProgress }: PullOptions) {
    this.#total = blobs.reduce((sum, { size }) => sum + size, 0);
    this.#onProgress = onProgress;
    if (this.#total > maxBytes) {
      const message = `${name} has ${this.#total} bytes, more than the ${maxBytes} that it may have`;
      throw new DriverError('resource-exhausted', message, { operation: 'pull image' });
    }
  }

  note({ digest, size }: TypedBlob, bytes: number): void {
    const before = this.#bytes.get(digest);
    const isWhole = bytes === size || before === undefined;
    if (before === bytes || (!isWhole && Math.abs(bytes - before) < STEP_BYTES)) return;
    this.#bytes.set(digest, bytes);
    const completed = [...this.#bytes.values()].reduce((sum, each) => sum + each, 0);
    this.#onProgress?.({ stage: 'download', completed, total: this.#total, digest });
  }
}
