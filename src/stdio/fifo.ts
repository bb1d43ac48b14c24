import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { DriverError } from '../core/error.js';

const run = promisify(execFile);
const BATCH = 6;

/**
 * The FIFOs of one session, made in batches and used again: Node has no mkfifo(3), and a process for every exec would
 * cost more than the call it serves. A FIFO may be used again once both of its ends were closed.
 */
export class FifoPool {
  readonly #directory: string;
  // Several processes may be connected to one session.
  readonly #prefix = randomBytes(4).toString('hex');
  readonly #free: string[] = [];
  #made = 0;
  #filling: Promise<void> | undefined;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Takes `count` FIFOs, making more when there are too few. */
  async take(count: number): Promise<string[]> {
    while (this.#free.length < count) await this.fill();
    return this.#free.splice(-count);
  }

  /** Gives FIFOs back that were read to their end. */
  give(paths: readonly string[]): void {
    this.#free.push(...paths);
  }

  /** Removes FIFOs whose other end may still be open, so that no later exec reads what belongs to an earlier one. */
  async discard(paths: readonly string[]): Promise<void> {
    await Promise.all(paths.map((path) => rm(path, { force: true })));
  }

  /** Makes a batch ahead of need; concurrent calls share one. */
  fill(): Promise<void> {
    this.#filling ??= this.#make().finally(() => {
      this.#filling = undefined;
    });
    return this.#filling;
  }

  async #make(): Promise<void> {
    const paths = Array.from({ length: BATCH }, () => join(this.#directory, `io-${this.#prefix}-${this.#made++}`));
    try {
      await run('mkfifo', ['-m', '600', '--', ...paths]);
    } catch (cause) {
      throw new DriverError('unavailable', `cannot make FIFOs in ${this.#directory}`, { operation: 'mkfifo', cause });
    }
    this.#free.push(...paths);
  }
}
