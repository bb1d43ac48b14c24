import { setInterval } from 'node:timers/promises';
import { DriverError } from '../core/error.js';
import type { Channel } from '../rpc/channel.js';
import { readSnapshotUsage } from './snapshot.js';

const GIB = 1024 ** 3;
const DEFAULT_BYTES = 50 * GIB;
/** Measuring walks what was unpacked so far. */
const LOOK_MS = 500;

/** What the layers of one image may take when unpacked. The daemon sets no limit, whatever a layer expands to. */
export class UnpackBudget {
  readonly #channel: Channel;
  readonly #snapshotter: string;
  readonly #limit: number;
  #used = 0;

  constructor(channel: Channel, snapshotter: string, limit = DEFAULT_BYTES) {
    this.#channel = channel;
    this.#snapshotter = snapshotter;
    this.#limit = limit;
  }

  /** Counts a layer that is unpacked. Throws `resource-exhausted` when it is too much. */
  async add(key: string, name: string): Promise<void> {
    const size = await readSnapshotUsage(this.#channel, this.#snapshotter, key);
    // Not in one expression: what others count during the question would be lost.
    this.#used += size ?? 0;
    if (this.#used > this.#limit) throw this.#refuse(name);
  }

  /** True when snapshots of these names, done or under way, are too much together. */
  async isExceededBy(keys: readonly string[]): Promise<boolean> {
    let used = 0;
    for (const key of keys) used += await this.#measure(key);
    return used > this.#limit;
  }

  /** Runs `act` and stops it by the signal that it gets when the snapshot under `key` has grown too much. */
  async watch<T>(
    key: string,
    name: string,
    act: (bounded: AbortSignal) => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const ended = new AbortController();
    const exceeded = new AbortController();
    const looking = this.#look(key, exceeded, ended.signal);
    try {
      return await act(signal === undefined ? exceeded.signal : AbortSignal.any([exceeded.signal, signal]));
    } catch (error) {
      throw exceeded.signal.aborted ? this.#refuse(name, error) : error;
    } finally {
      ended.abort();
      await looking;
    }
  }

  async #look(key: string, exceeded: AbortController, ended: AbortSignal): Promise<void> {
    try {
      for await (const _ of setInterval(LOOK_MS, undefined, { signal: ended, ref: false })) {
        if (this.#used + (await this.#measure(key)) > this.#limit) return exceeded.abort();
      }
    } catch (error) {
      if (!ended.aborted) throw error;
    }
  }

  /** A walk that met a file as it went away says nothing; what counts in the end is `add`. */
  async #measure(key: string): Promise<number> {
    return (await readSnapshotUsage(this.#channel, this.#snapshotter, key).catch(() => 0)) ?? 0;
  }

  #refuse(name: string, cause?: unknown): DriverError {
    const message = `${name} is beyond the ${this.#limit} bytes that the image may take when unpacked`;
    return new DriverError('resource-exhausted', message, { operation: 'unpack image', cause });
  }
}
