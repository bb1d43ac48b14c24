import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { DriverError } from '../core/error.js';

const run = promisify(execFile);
const BATCH = 64;
/** With fewer left more are made ahead of need. */
const LOW = 16;

const ONE_EXEC = 3;

/**
 * FIFOs that nobody has used yet, of one provider. Node has no mkfifo(3), and to start a process takes it some 4 ms in
 * which nothing else is done: one for each session would be a tenth of all that a short session costs.
 */
export class FifoStore {
  readonly directory: string;
  // Several providers of one process may have the same directory.
  readonly #prefix = randomBytes(4).toString('hex');
  readonly #free: string[] = [];
  #made = 0;
  #filling: Promise<void> | undefined;

  /** Nothing is made before the first call. */
  constructor(directory: string) {
    this.directory = directory;
  }

  /** Resolves with paths that are the caller's from now on, to be renamed to where they are used. */
  async take(count: number): Promise<string[]> {
    while (this.#free.length < count) await this.#fill();
    const taken = this.#free.splice(-count, count);
    // A failure is told to whoever finds none.
    this.prepare().catch(() => undefined);
    return taken;
  }

  /** Makes more ahead of need. Waits for it where there are none for the next exec, and fails where there can be none. */
  async prepare(): Promise<void> {
    if (this.#free.length >= LOW) return;
    const filling = this.#fill();
    if (this.#free.length < ONE_EXEC) return filling;
    filling.catch(() => undefined);
  }

  /** Lets go of those that are left, which someone else has removed; later ones are made anew. */
  forget(): void {
    this.#free.length = 0;
  }

  /** Removes those that are left. */
  async close(): Promise<void> {
    await this.#filling?.catch(() => undefined);
    this.#free.length = 0;
    await rm(this.directory, { recursive: true, force: true });
  }

  #fill(): Promise<void> {
    this.#filling ??= this.#make().finally(() => {
      this.#filling = undefined;
    });
    return this.#filling;
  }

  async #make(): Promise<void> {
    const paths = Array.from({ length: BATCH }, () => join(this.directory, `${this.#prefix}-${this.#made++}`));
    try {
      await mkdir(dirname(this.directory), { recursive: true, mode: 0o700 });
      // By itself: Node's recursive mkdir reports a full disk as ENOENT.
      await mkdir(this.directory, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
      });
      await makeFifos(paths);
    } catch (cause) {
      const { code = '', message } = cause as NodeJS.ErrnoException;
      const isFull = code === 'ENOSPC' || code === 'EDQUOT' || /No space left|quota exceeded/.test(message);
      throw new DriverError(
        isFull ? 'resource-exhausted' : 'unavailable',
        `cannot make FIFOs in ${this.directory}${isFull ? ': it is full' : `: ${message.trim()}`}`,
        { operation: 'mkfifo', cause },
      );
    }
    this.#free.push(...paths);
  }
}

/** For root alone. Fails where there is something of the name. */
export async function makeFifos(paths: readonly string[]): Promise<void> {
  await run('mkfifo', ['-m', '600', '--', ...paths], { env: { ...process.env, LC_ALL: 'C' } });
}
