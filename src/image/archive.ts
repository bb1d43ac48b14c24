import { createReadStream } from 'node:fs';
import { posix } from 'node:path';
import { pipeline, Readable } from 'node:stream';
import { ReadableStream } from 'node:stream/web';
import { createGunzip } from 'node:zlib';
import { createTarDecoder, type ParsedTarEntry } from 'modern-tar';
import { DriverError, type ErrorCode, formatValue } from '../core/error.js';

/** Where an archive comes from: the path of a file, or its bytes. */
export type ArchiveSource = string | Readable;

export interface ArchiveFile {
  /** Path within the archive, without `./` in front. */
  path: string;
  size: number;
  /** Of a link: the path that it points to, within the archive. */
  target?: string;
  /** To be read before the next entry is asked for; what is left of it is then passed over. */
  body: AsyncIterable<Uint8Array>;
}

const READ_BYTES = 256 * 1024;
const MAGIC_BYTES = 4;
const TAR_BLOCK = 512;
const operation = 'read archive';

export function describeSource(source: ArchiveSource): string {
  return typeof source === 'string' ? source : 'the archive';
}

/**
 * Yields the files and links of a tar, plain or compressed with gzip, in their order, with flat memory. Throws
 * `not-found` without the file, `invalid-argument` when it is not a tar or an entry's name leads out of it, and
 * `data-loss` when it is truncated or corrupt.
 */
export async function* readArchive(
  source: ArchiveSource,
  { signal }: { signal?: AbortSignal | undefined } = {},
): AsyncGenerator<ArchiveFile> {
  const name = describeSource(source);
  const canceled = new DriverError('canceled', `reading ${name}: canceled`, { operation });
  if (signal?.aborted) throw canceled;
  const input = typeof source === 'string' ? createReadStream(source, { highWaterMark: READ_BYTES }) : source;
  // A failure is met by whoever reads next; between two reads no one listens, and it would end the process.
  input.on('error', () => undefined);
  const cancel = () => input.destroy(canceled);
  signal?.addEventListener('abort', cancel, { once: true });
  const progress = { bytes: 0, entries: 0 };
  try {
    const tar = readTar(name, input, progress);
    for await (const entry of ReadableStream.from(tar).pipeThrough(createTarDecoder({ strict: true }))) {
      progress.entries += 1;
      const file = describeEntry(name, entry, progress);
      if (file !== undefined) yield file;
      // The source may have ended before it could be destroyed.
      if (signal?.aborted) throw canceled;
      await entry.body.cancel();
    }
  } catch (error) {
    throw describeTarFailure(name, progress, error);
  } finally {
    signal?.removeEventListener('abort', cancel);
    input.destroy();
  }
}

/** The bytes of the tar itself. */
async function* readTar(name: string, input: Readable, progress: Progress): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of await decompress(name, input)) {
      progress.bytes += chunk.length;
      yield chunk;
    }
  } catch (error) {
    throw describeReadFailure(name, error);
  }
}

async function decompress(name: string, input: Readable): Promise<AsyncIterable<Uint8Array>> {
  const chunks = input[Symbol.asyncIterator]() as AsyncIterator<unknown>;
  let head = Buffer.alloc(0);
  while (head.length < MAGIC_BYTES) {
    const { value, done } = await chunks.next();
    if (done) break;
    if (!(value instanceof Uint8Array)) {
      throw new DriverError('invalid-argument', `${name} yields ${typeof value}s, not bytes`, { operation });
    }
    head = Buffer.concat([head, value]);
  }
  const whole = prepend(head, chunks as AsyncIterator<Uint8Array>);
  const magic = head.toString('hex', 0, MAGIC_BYTES);
  if (magic === '28b52ffd') {
    throw new DriverError('invalid-argument', `${name} is compressed with zstd: decompress it first`, { operation });
  }
  if (!magic.startsWith('1f8b')) return whole;
  const gunzip = createGunzip({ chunkSize: READ_BYTES });
  // A failure of either end reaches the reader of the last one; the callback has nothing to add.
  return pipeline(Readable.from(whole, { objectMode: false }), gunzip, () => undefined);
}

async function* prepend(head: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (head.length > 0) yield head;
  yield* { [Symbol.asyncIterator]: () => rest };
}

interface Progress {
  bytes: number;
  entries: number;
}

function describeEntry(archive: string, { header, body }: ParsedTarEntry, progress: Progress): ArchiveFile | undefined {
  const { name, type, linkname = '' } = header;
  if (type !== 'file' && type !== 'link' && type !== 'symlink') return undefined;
  const path = resolveInside(archive, name, '.', name);
  const file: ArchiveFile = { path, size: header.size, body: readBody(archive, body, progress) };
  if (type === 'file') return file;
  return { ...file, target: resolveInside(archive, name, type === 'symlink' ? posix.dirname(path) : '.', linkname) };
}

/** Nothing is ever written to such a path; an archive that has one is refused because it means no good. */
function resolveInside(archive: string, entry: string, base: string, path: string): string {
  const resolved = posix.join(base, path);
  if (!path.startsWith('/') && resolved !== '..' && !resolved.startsWith('../')) return resolved;
  throw new DriverError('invalid-argument', `${archive}: entry ${formatValue(entry)} leads out of the archive`, {
    operation,
  });
}

async function* readBody(archive: string, body: AsyncIterable<Uint8Array>, progress: Progress) {
  try {
    yield* body;
  } catch (error) {
    throw describeTarFailure(archive, progress, error);
  }
}

/** A failure of the file, of the caller's stream or of the decompression. */
function describeReadFailure(archive: string, error: unknown): DriverError {
  if (error instanceof DriverError) return error;
  const { code = '', message } = error as NodeJS.ErrnoException;
  const [kind, text] = ((): [ErrorCode, string] => {
    if (code === 'ENOENT') return ['not-found', `no archive ${archive}`];
    if (code === 'EACCES') return ['permission-denied', `archive ${archive} must not be read`];
    if (code === 'EISDIR') return ['invalid-argument', `${archive} is a directory, not a tar archive`];
    if (code === 'Z_BUF_ERROR') return ['data-loss', `${archive} is truncated: its gzip stream has no end`];
    if (code.startsWith('Z_')) return ['data-loss', `${archive} is corrupt: ${message}`];
    return ['unknown', `reading ${archive}: ${message}`];
  })();
  return new DriverError(kind, text, { operation, cause: error });
}

function describeTarFailure(archive: string, { bytes, entries }: Progress, error: unknown): DriverError {
  if (error instanceof DriverError) return error;
  const { message } = error as Error;
  const [kind, text] = ((): [ErrorCode, string] => {
    if (bytes < TAR_BLOCK) return ['invalid-argument', `${archive} is not a tar archive: it has ${bytes} bytes`];
    if (/truncated/.test(message)) return ['data-loss', `${archive} is truncated after ${bytes} bytes of tar`];
    if (entries === 0) return ['invalid-argument', `${archive} is not a tar archive: ${message}`];
    return ['data-loss', `${archive} is a corrupt tar: ${message}`];
  })();
  return new DriverError(kind, text, { operation, cause: error });
}
