import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, constants, openSync, renameSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { DriverError } from '../core/error.js';

const run = promisify(execFile);
const BATCH = 6;

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
 * The FIFOs of one session, made in batches and used again: Node has no mkfifo(3), and a process for every exec would
 * cost more than the call it serves. A FIFO may be used again once both of its ends were closed. It bears the name of
 * the exec that uses it, so that any process can take the exec up.
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

  /** Takes the FIFOs of an exec, making more when there are too few. */
  async take(execId: string, choice: FifoChoice): Promise<FifoSet> {
    const set = this.name(execId, choice);
    const names = Object.values(set);
    while (this.#free.length < names.length) await this.fill();
    try {
      // Synchronous: nobody else takes between the look and the take, and a rename costs microseconds.
      for (const name of names) renameSync(this.#free.pop() as string, name);
    } catch (cause) {
      throw new DriverError('unavailable', `the FIFOs in ${this.#directory} are gone`, {
        operation: 'take FIFO',
        cause,
      });
    }
    return set;
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
      await run('mkfifo', ['-m', '600', '--', ...paths], { env: { ...process.env, LC_ALL: 'C' } });
    } catch (cause) {
      const isFull = /No space left|quota exceeded/.test((cause as Error).message);
      throw new DriverError(
        isFull ? 'resource-exhausted' : 'unavailable',
        `cannot make FIFOs in ${this.#directory}${isFull ? ': it is full' : ''}`,
        { operation: 'mkfifo', cause },
      );
    }
    this.#free.push(...paths);
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
