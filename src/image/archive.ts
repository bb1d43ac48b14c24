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

const READ_BYTES = 1024 * 1024;
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
  const input = typeof source === 'string' ? createReadStream(source, { highWaterMark: READ_BYTES }) : source;
  const cancel = () => input.destroy(new DriverError('canceled', `reading ${name}: canceled`, { operation }));
  signal?.addEventListener('abort', cancel, { once: true });
  const progress = { bytes: 0, entries: 0 };
  try {
    if (signal?.aborted) cancel();
    const tar = decompress(name, await peek(name, input), progress);
    for await (const entry of ReadableStream.from(tar).pipeThrough(createTarDecoder({ strict: true }))) {
      progress.entries += 1;
      const file = describeEntry(name, entry, progress);
      if (file !== undefined) yield file;
      await entry.body.cancel();
    }
  } catch (error) {
    throw describeFailure(name, progress, error);
  } finally {
    signal?.removeEventListener('abort', cancel);
    input.destroy();
  }
}

interface Peeked {
  input: AsyncIterable<Uint8Array>;
  /** The first bytes, four of them unless there are fewer. */
  head: Buffer;
}

async function peek(name: string, input: Readable): Promise<Peeked> {
  const chunks = input[Symbol.asyncIterator]() as AsyncIterator<unknown>;
  let head = Buffer.alloc(0);
  while (head.length < 4) {
    const { value, done } = await chunks.next();
    if (done) break;
    if (!(value instanceof Uint8Array)) {
      throw new DriverError('invalid-argument', `${name} yields ${typeof value}s instead of bytes`, { operation });
    }
    head = Buffer.concat([head, value]);
  }
  return { input: prepend(head, chunks as AsyncIterator<Uint8Array>), head };
}

async function* prepend(head: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (head.length > 0) yield head;
  yield* { [Symbol.asyncIterator]: () => rest };
}

async function* decompress(name: string, { input, head }: Peeked, progress: Progress): AsyncGenerator<Uint8Array> {
  const magic = head.toString('hex');
  if (magic === '28b52ffd') {
    throw new DriverError('invalid-argument', `${name} is compressed with zstd: decompress it first`, { operation });
  }
  // The pipeline's own callback has nothing to add: a failure of either end reaches the reader of the last one.
  const tar = magic.startsWith('1f8b')
    ? pipeline(
        Readable.from(input, { objectMode: false }),
        createGunzip({ chunkSize: READ_BYTES / 4 }),
        () => undefined,
      )
    : input;
  for await (const chunk of tar) {
    progress.bytes += chunk.length;
    yield chunk;
  }
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
    throw describeFailure(archive, progress, error);
  }
}

function describeFailure(archive: string, { bytes, entries }: Progress, error: unknown): DriverError {
  if (error instanceof DriverError) return error;
  const { code = '', message } = error as NodeJS.ErrnoException;
  const [kind, text] = ((): [ErrorCode, string] => {
    if (code === 'ENOENT') return ['not-found', `no archive ${archive}`];
    if (code === 'EACCES') return ['permission-denied', `archive ${archive} must not be read`];
    if (code === 'EISDIR') return ['invalid-argument', `${archive} is a directory, not a tar archive`];
    if (code === 'Z_BUF_ERROR') return ['data-loss', `${archive} is truncated: its gzip stream has no end`];
    if (code.startsWith('Z_')) return ['data-loss', `${archive} is corrupt: ${message}`];
    if (code !== '') return ['unknown', `reading ${archive}: ${message}`];
    if (bytes < TAR_BLOCK) return ['invalid-argument', `${archive} is not a tar archive: it has ${bytes} bytes`];
    if (/truncated/.test(message)) return ['data-loss', `${archive} is truncated after ${bytes} bytes of tar`];
    if (entries === 0) return ['invalid-argument', `${archive} is not a tar archive: ${message}`];
    return ['data-loss', `${archive} is a corrupt tar: ${message}`];
  })();
  return new DriverError(kind, text, { operation, cause: error });
}
