import { closeSync, openSync, readFileSync, readSync } from 'node:fs';

/** Longer than any file of a control group that is read again and again. */
const MOST_BYTES = 4096;

const buffer = Buffer.alloc(MOST_BYTES);

/** A small file in which the kernel tells something anew at every read. */
export class KernelFile {
  readonly #path: string;
  #fd: number | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** Throws as readFileSync does, and ENODEV when what it tells of has gone since it was opened. */
  read(): string {
    if (this.#fd === undefined) return readFileSync(this.#path, 'utf8');
    return buffer.toString('latin1', 0, readSync(this.#fd, buffer, 0, MOST_BYTES, 0));
  }

  /** Reads it through one descriptor until the signal, which is a tenth of the work. */
  keepOpen(until: AbortSignal): void {
    if (this.#fd !== undefined || until.aborted) return;
    const fd = openSync(this.#path, 'r');
    this.#fd = fd;
    const close = () => {
      this.#fd = undefined;
      closeSync(fd);
    };
    until.addEventListener('abort', close, { once: true });
  }
}
