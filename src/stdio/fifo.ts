import { closeSync, constants, openSync, renameSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DriverError } from '../core/error.js';
import type { FifoStore } from './fifo-store.js';

/** The FIFOs of one process. */
export interface FifoSet {
  stdout: string;
  stderr?: string;
  stdin?: string;
}

/** Which streams a process has beside stdout. */
export interface FifoChoice {
  stderr: boolean;
  stdin: boolean;
}

/**
 * The FIFOs of one session, which are used again: one may be once both of its ends were closed. It bears the name of the
 * exec that uses it, so that any process can take the exec up.
 */
export class FifoPool {
  readonly #directory: string;
  readonly #store: FifoStore;
  readonly #free: string[] = [];

  constructor(directory: string, store: FifoStore) {
    this.#directory = directory;
    this.#store = store;
  }

  /** Takes the FIFOs of an exec, new ones where there are too few. */
  async take(execId: string, choice: FifoChoice): Promise<FifoSet> {
    const set = this.name(execId, choice);
    const names = Object.values(set);
    const taken = this.#free.splice(-names.length, names.length);
    const missing = names.length - taken.length;
    if (missing > 0) taken.push(...(await this.#store.take(missing)));
    try {
      // A rename costs microseconds, less than to wait for one.
      for (const name of names) renameSync(taken.pop() as string, name);
    } catch (cause) {
      this.#store.forget();
      throw new DriverError('unavailable', `the FIFOs in ${this.#directory} are gone`, {
        operation: 'take FIFO',
        cause,
      });
    }
    return set;
  }

  /** Execs that may be there, whoever started them: their FIFOs bear their names. */
  async listExecs(): Promise<string[]> {
    const names = await readdir(this.#directory);
    return names.flatMap((name) => /^(exec-[0-9a-f]+)\.stdout$/.exec(name)?.[1] ?? []);
  }

  /** The names that an exec's FIFOs have. */
  name(execId: string, { stderr, stdin }: FifoChoice): FifoSet {
    const path = (stream: string) => join(this.#directory, `${execId}.${stream}`);
    return {
      stdout: path('stdout'),
      ...(stderr ? { stderr: path('stderr') } : {}),
      ...(stdin ? { stdin: path('stdin') } : {}),
    };
  }

  /**
   * Gives FIFOs back that were read to their end. The shim may be slow to let go of an input, and would then read what
   * is meant for the next exec: such a one is not used again.
   */
  async give(set: FifoSet): Promise<void> {
    const paths: string[] = Object.values(set);
    const unused = paths.filter(isUnused);
    this.#free.push(...unused);
    await Promise.all(paths.filter((path) => !unused.includes(path)).map((path) => rm(path, { force: true })));
  }

  /** Removes FIFOs whose other end may still be open, so that no later exec reads what belongs to an earlier one. */
  async discard(set: FifoSet): Promise<void> {
    await Promise.all(Object.values(set).map((path) => rm(path, { force: true })));
  }
}

/** Opening for writing without waiting fails with ENXIO when no one has it open for reading (fifo(7)). */
function isUnused(path: string): boolean {
  try {
    closeSync(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK));
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENXIO';
  }
}
