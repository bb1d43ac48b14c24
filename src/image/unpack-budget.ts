import { setInterval } from 'node:timers/promises';
import { DriverError } from '../core/error.js';
import type { Channel } from '../rpc/channel.js';
import { readSnapshotUsage } from './snapshot.js';

const GIB = 1024 ** 3;
const DEFAULT_BYTES = 50 * GIB;
/** Measuring walks what was unpacked so far. */
const LOOK_MS = 500;

/**
 * Runs `act` and looks every half a second what it has made; stops it by the signal that it gets when `look` throws, and
 * throws that then.
 */
export async function superviseUnpacking<T>(
  act: (bounded: AbortSignal) => Promise<T>,
  look: () => Promise<void>,
  signal: AbortSignal | undefined,
): Promise<T> {
  const ended = new AbortController();
  const refused = new AbortController();
  const watch = async () => {
    try {
      for await (const _ of setInterval(LOOK_MS, undefined, { signal: ended.signal, ref: false })) await look();
    } catch (error) {
      if (!ended.signal.aborted) refused.abort(error);
    }
  };
  const watching = watch();
  try {
    const result = await act(signal === undefined ? refused.signal : AbortSignal.any([refused.signal, signal]));
    refused.signal.throwIfAborted();
    return result;
  } catch (error) {
    throw refused.signal.aborted ? refused.signal.reason : error;
  } finally {
    ended.abort();
    await watching;
  }
}

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

  /** Throws `resource-exhausted` when snapshots that still grow are too much together with what was counted. */
  async check(keys: readonly string[], name: string): Promise<void> {
    let growing = 0;
    for (const key of keys) growing += await this.#measure(key);
    if (this.#used + growing > this.#limit) throw this.#refuse(name);
  }

  /** Runs `act` and stops it by the signal that it gets when the snapshot under `key` has grown too much. */
  watch<T>(
    key: string,
    name: string,
    act: (bounded: AbortSignal) => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    return superviseUnpacking(act, () => this.check([key], name), signal);
  }

  /** A walk that met a file as it went away says nothing; what counts in the end is `add`. */
  async #measure(key: string): Promise<number> {
    return (await readSnapshotUsage(this.#channel, this.#snapshotter, key).catch(() => 0)) ?? 0;
  }

  #refuse(name: string): DriverError {
    const message = `${name} is beyond the ${this.#limit} bytes that the image may take when unpacked`;
    return new DriverError('resource-exhausted', message, { operation: 'unpack image' });
  }
}
