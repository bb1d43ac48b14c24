import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { createInputError } from '../../core/error.js';
import type { AuditEvent, AuditSink } from './event.js';

/** O_NOFOLLOW: whoever may write beside the log must not choose what it is. */
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW;

/** How the file is written. */
export interface JsonlAuditSinkOptions {
  /** Waits until each event is on the disk (fdatasync(2)): some ms each. Defaults to false, which a crash of the host may cost the last ones. */
  sync?: boolean;
}

/**
 * Appends events to a file, a line of JSON each. The file is made with mode 0600 and opened for each event: one that was
 * moved away by a rotation is made anew, and several processes may write to one, each line at once. The directory must
 * be there.
 */
export class JsonlAuditSink implements AuditSink {
  readonly #path: string;
  readonly #sync: boolean;
  /** The last line may have been written in part. */
  #isTorn = false;

  constructor(path: string, { sync = false }: JsonlAuditSinkOptions = {}) {
    if (typeof path !== 'string' || !path.startsWith('/') || path.includes('\0')) {
      throw createInputError('audit sink', [{ path: 'path', value: path, expected: 'an absolute path' }]);
    }
    this.#path = path;
    this.#sync = sync;
  }

  /** Resolves when the line is written, with `sync` when it is on the disk. */
  async write(event: AuditEvent): Promise<void> {
    const line = Buffer.from(`${this.#isTorn ? '\n' : ''}${JSON.stringify(event)}\n`);
    const file = await open(this.#path, FLAGS, 0o600);
    try {
      // One call: lines of several writers do not mix (O_APPEND in open(2)).
      const { bytesWritten } = await file.write(line);
      this.#isTorn = bytesWritten < line.length;
      if (this.#isTorn) throw new Error(`${this.#path} took ${bytesWritten} of ${line.length} bytes`);
      if (this.#sync) await file.datasync();
    } finally {
      await file.close();
    }
  }
}
