import { abortSignal, aFunction, checkOptions, type Rule } from '../policy/rule.js';
import { text, whole } from '../policy/schema.js';
import type { Platform } from './document.js';
import { platformRule } from './platform.js';
import { type RegistryOptions, registryRule } from './registry/options.js';
import type { UnpackOptions } from './unpack.js';

/** What a pull is at. */
export interface PullProgress {
  /** The last one is `done`. */
  stage: 'resolve' | 'download' | 'unpack' | 'done';
  /** Of `download` bytes, what was there before included; of `unpack` layers. */
  completed: number;
  /** In the same unit. */
  total: number;
  /** Of `download`: the blob that has come further. */
  digest?: string;
}

/** What to pull, how, and within which budgets. */
export interface PullOptions extends UnpackOptions {
  /** Which of an index's platforms to bring. Defaults to Linux on this machine's processor. */
  platform?: Platform | undefined;
  /** Layers that are downloaded at once. Defaults to 3, and to the daemon's own number where it downloads by itself. */
  concurrency?: number | undefined;
  /** Bytes that the image may have as it is stored, by its manifest and as they come. Defaults to 20 GiB. */
  maxBytes?: number | undefined;
  /** How the registry is reached. */
  registry?: RegistryOptions | undefined;
  /** Told how far it is. */
  onProgress?: ((progress: PullProgress) => void) | undefined;
}

const keys: Record<keyof PullOptions, Rule> = {
  platform: platformRule,
  snapshotter: text(76),
  concurrency: whole(1, 64),
  maxBytes: whole(1),
  maxUnpackedBytes: whole(1),
  registry: registryRule,
  onProgress: aFunction,
  signal: abortSignal,
};

/** Throws `invalid-argument` that names every fault. */
export function checkPullOptions(options: PullOptions): void {
  checkOptions('pull options', options, keys);
}
