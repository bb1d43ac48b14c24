import { Readable } from 'node:stream';
import { DriverError } from '../../core/error.js';
import type { ExecProcess } from '../executor.js';
import type { Life } from '../life.js';
import { type FileEntry, type FileStat, nameEntry, parseEntries } from './entry.js';
import { isAbsent, isOfPath } from './failure.js';
import { collect, type FileData, type FilesRequest, runOperation, type StartFiles } from './operation.js';
import { checkFileOptions, checkMode, encodePath } from './options.js';
import { downloadFiles, type TransferReport, uploadFiles } from './transfer.js';

/** What every call on files takes. */
export interface FileOptions {
  /** An abort ends the call, which rejects with `canceled`. */
  signal?: AbortSignal;
}

/** How a file is read. */
export interface ReadFileOptions extends FileOptions {
  /** Rejects with `out-of-range` when the file has more. Defaults to 64 MiB, as all of it is held in memory. */
  maxBytes?: number;
}

/** How a file is written. */
export interface WriteFileOptions extends FileOptions {
  /** Permissions, such as 0o600. Defaults to those of the file that is replaced, else to 0o666 less the session's umask. */
  mode?: number;
}

/** How a directory is listed. */
export interface ListOptions extends FileOptions {
  /** Rejects with `out-of-range` when the directory has more. Defaults to 100,000. */
  maxEntries?: number;
}

/** What of a path is looked at. */
export interface StatOptions extends FileOptions {
  /** Looks at where a symbolic link leads to instead of the link. Defaults to true. */
  followSymlinks?: boolean;
}

/** How a directory is made. */
export interface MakeDirectoryOptions extends FileOptions {
  /** Makes what leads there too; a directory that is there is no error. Defaults to false. */
  recursive?: boolean;
  /** Permissions of the last one. Defaults to 0o777 less the session's umask. */
  mode?: number;
}

/** What is removed. */
export interface RemoveOptions extends FileOptions {
  /** Removes directories with all that is in them. Defaults to false, which refuses them. */
  recursive?: boolean;
  /** What is not there is no error. Defaults to false. */
  force?: boolean;
}

/** Absolute, as the session sees it. Bytes where the name is no UTF-8. */
export type SessionPath = string | Uint8Array;

const defaults = { maxBytes: 64 * 1024 * 1024, maxEntries: 100_000 };
/** What one entry takes at most: its numbers and a name (NAME_MAX). */
const LONGEST_ENTRY = 32 + 255;
const NO_MODE = '-';

/**
 * The session's files, read and written inside it: with its user and what that may, through its mounts and links, in an
 * image with no program at all. It needs `executor: 'supervisor'`; else every call fails with `failed-precondition`.
 *
 * Fails with `not-found`, `permission-denied`, `already-exists`, `resource-exhausted` (a full disk) or
 * `failed-precondition` (not a regular file, not empty, busy); the message has the path, `cause.code` the kernel's name.
 */
export class SessionFiles {
  readonly #start: StartFiles;
  readonly #life: Life;

  /** @internal */
  constructor(life: Life, start: (args: readonly Uint8Array[], input: boolean) => Promise<ExecProcess>) {
    this.#life = life;
    this.#start = ({ what, path, more = [] }, input) =>
      start([Buffer.from(what), path, ...more.map((text) => Buffer.from(text))], input);
  }

  /** The whole of a regular file. */
  async readFile(path: SessionPath, options: ReadFileOptions = {}): Promise<Uint8Array> {
    checkFileOptions('readFile', options);
    const { maxBytes = defaults.maxBytes, signal } = options;
    const request: FilesRequest = { what: 'read', path: encodePath(path), signal };
    return this.#while(() => collect(limit(runOperation(this.#start, request), maxBytes, request.path)));
  }

  /** A regular file as it is read; what is not read is not sent. Leaving the stream ends it. */
  createReadStream(path: SessionPath, options: FileOptions = {}): Readable {
    checkFileOptions('files', options);
    const operation = runOperation(this.#start, { what: 'read', path: encodePath(path), ...options });
    return Readable.from(this.#life.each(operation), { objectMode: false, highWaterMark: 64 * 1024 });
  }

  /**
   * Writes a file: under a temporary name beside it (`.cadre-`…), which takes its place when all has come, so that
   * nobody sees half of it; a call that fails or is aborted leaves what was there. A symbolic link to a file is followed.
   * The owner of a file that is replaced is kept where the session's user may give it away. A source is read as fast as
   * the session's disk takes it.
   */
  async writeFile(path: SessionPath, data: FileData, options: WriteFileOptions = {}): Promise<void> {
    checkFileOptions('writeFile', options);
    const { mode, signal } = options;
    await this.#run({ what: 'write', path: encodePath(path), more: [encodeMode(mode)], signal }, data);
  }

  /** What is in a directory, by name; links are not followed. */
  async readdir(path: SessionPath, options: ListOptions = {}): Promise<FileEntry[]> {
    checkFileOptions('readdir', options);
    const { maxEntries = defaults.maxEntries, signal } = options;
    const request: FilesRequest = { what: 'list', path: encodePath(path), signal };
    const listing = limit(runOperation(this.#start, request), maxEntries * LONGEST_ENTRY, request.path);
    const told = await this.#while(() => collect(listing));
    const entries = parseEntries(told);
    if (entries.length > maxEntries) throw describeExcess(request.path, `${maxEntries} entries`);
    return entries.sort((one, other) => Buffer.compare(one.text, other.text)).map(nameEntry);
  }

  /** What is at the path. */
  async stat(path: SessionPath, options: StatOptions = {}): Promise<FileStat> {
    checkFileOptions('stat', options);
    const { followSymlinks = true, signal } = options;
    const more = [followSymlinks ? 'follow' : 'link'];
    const [entry] = parseEntries(await this.#run({ what: 'stat', path: encodePath(path), more, signal }));
    if (entry === undefined) throw new DriverError('data-loss', 'no facts of a file', { operation: 'supervisor' });
    const { text, ...stat } = entry;
    return stat.type === 'symlink' ? { ...stat, target: text.toString() } : stat;
  }

  /** Whether there is something at the path. A link that leads nowhere is nothing. */
  async exists(path: SessionPath, options: FileOptions = {}): Promise<boolean> {
    checkFileOptions('files', options);
    try {
      await this.stat(path, options);
      return true;
    } catch (error) {
      if (isAbsent(error)) return false;
      throw error;
    }
  }

  /** Makes a directory. */
  async mkdir(path: SessionPath, options: MakeDirectoryOptions = {}): Promise<void> {
    checkFileOptions('mkdir', options);
    const { recursive = false, mode, signal } = options;
    const more = [encodeMode(mode), recursive ? 'recursive' : ''];
    await this.#run({ what: 'mkdir', path: encodePath(path), more, signal });
  }

  /** Removes a file or a link, never what a link leads to. */
  async rm(path: SessionPath, options: RemoveOptions = {}): Promise<void> {
    checkFileOptions('rm', options);
    const { recursive = false, force = false, signal } = options;
    try {
      await this.#run({ what: 'rm', path: encodePath(path), more: recursive ? ['recursive'] : [], signal });
    } catch (error) {
      if (!force || !isAbsent(error)) throw error;
    }
  }

  /** Gives a file or directory another name, in the place of whatever file is there. Within one mount. */
  async rename(from: SessionPath, to: SessionPath, options: FileOptions = {}): Promise<void> {
    checkFileOptions('files', options);
    await this.#run({ what: 'rename', path: encodePath(from, 'from'), more: [encodePath(to, 'to')], ...options });
  }

  /** Changes permissions, from 0 to 0o777. */
  async chmod(path: SessionPath, mode: number, options: FileOptions = {}): Promise<void> {
    checkFileOptions('files', options);
    checkMode(mode);
    await this.#run({ what: 'chmod', path: encodePath(path), more: [encodeMode(mode)], ...options });
  }

  /**
   * Copies a file or a whole directory of the host to the path, permissions and symbolic links as they are; owners are
   * the session's user. A directory that is there is added to, a file is replaced.
   */
  async upload(hostPath: string, path: SessionPath, options: FileOptions = {}): Promise<TransferReport> {
    checkFileOptions('files', options);
    const link = (at: Uint8Array, target: Uint8Array, signal?: AbortSignal) =>
      this.#run({ what: 'link', path: at, more: [target], signal });
    return uploadFiles({ files: this, link }, hostPath, encodePath(path), options);
  }

  /**
   * Copies a file or a whole directory to a path of the host; owners are this process's. A file is replaced; a directory
   * has to be new. **What a symbolic link of it leads to on the host is the session's choice**: look before you follow.
   */
  async download(path: SessionPath, hostPath: string, options: FileOptions = {}): Promise<TransferReport> {
    checkFileOptions('files', options);
    return downloadFiles(this, encodePath(path), hostPath, options);
  }

  #run(request: FilesRequest, data?: FileData): Promise<Buffer> {
    return this.#while(() => collect(runOperation(this.#start, request, data)));
  }

  /** Names the end of the session where that is the reason; what the kernel says of a path has nothing to do with it. */
  async #while<T>(act: () => Promise<T>): Promise<T> {
    const settle = async (): Promise<{ value: T } | { failure: DriverError }> => {
      try {
        return { value: await act() };
      } catch (error) {
        if (isOfPath(error)) return { failure: error };
        throw error;
      }
    };
    const outcome = await this.#life.while(settle);
    if ('failure' in outcome) throw outcome.failure;
    return outcome.value;
  }
}

function encodeMode(mode: number | undefined): string {
  return mode === undefined ? NO_MODE : String(mode);
}

async function* limit(chunks: AsyncIterable<Uint8Array>, most: number, path: Uint8Array): AsyncGenerator<Uint8Array> {
  let size = 0;
  for await (const chunk of chunks) {
    size += chunk.length;
    if (size > most) throw describeExcess(path, `${most} bytes`);
    yield chunk;
  }
}

function describeExcess(path: Uint8Array, most: string): DriverError {
  return new DriverError('out-of-range', `${Buffer.from(path)} has more than ${most}`, { operation: 'files' });
}
