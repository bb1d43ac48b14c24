import { randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { chmod, lstat, mkdir, readdir, readlink, rename, rm, stat, symlink } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { DriverError } from '../../core/error.js';
import type { FileStat } from './entry.js';
import type { SessionFiles } from './session-files.js';

/** What a copy came to. */
export interface TransferReport {
  /** Files that were copied. */
  files: number;
  /** What is in them. */
  bytes: number;
  /** Paths of the source that are neither file, directory nor symbolic link, and were left out. */
  skipped: string[];
}

interface Upload {
  files: SessionFiles;
  /** Makes a symbolic link, whose target is bytes. */
  link: (path: Uint8Array, target: Uint8Array, signal?: AbortSignal) => Promise<unknown>;
}

/** What was read of the source already, wherever it is. */
type Facts = Pick<FileStat, 'mode'>;

interface Asked {
  signal?: AbortSignal;
}

/** One walk of the tree of a source. */
interface Walk {
  files: SessionFiles;
  asked: Asked;
  report: TransferReport;
}

function beginWalk(files: SessionFiles, asked: Asked): Walk {
  return { files, asked, report: { files: 0, bytes: 0, skipped: [] } };
}

/** What a directory must allow whoever fills it. */
const OWN = 0o700;
const MODES = 0o777;

export async function uploadFiles(to: Upload, from: string, path: Buffer, asked: Asked): Promise<TransferReport> {
  const walk = { ...to, ...beginWalk(to.files, asked) };
  // A link that is named is followed, as cp does.
  const facts = await stat(from).catch((cause) => {
    throw describeHostFailure('upload', from, cause);
  });
  if (facts.isDirectory()) await uploadDirectory(walk, Buffer.from(from), path, facts);
  else if (facts.isFile()) await uploadFile(walk, Buffer.from(from), path, facts);
  else throw new DriverError('invalid-argument', `${from} is neither a file nor a directory`, { operation: 'upload' });
  return walk.report;
}

async function uploadFile({ files, asked, report }: Walk, from: Buffer, path: Buffer, { mode }: Facts): Promise<void> {
  const count = countBytes(report);
  await files.writeFile(path, count(createReadStream(from)), { ...asked, mode: mode & MODES });
  report.files++;
}

async function uploadDirectory(walk: Walk & Upload, from: Buffer, path: Buffer, { mode }: Facts): Promise<void> {
  const { files, link, asked, report } = walk;
  const isNew = !(await files.exists(path, asked));
  if (isNew) await files.mkdir(path, { ...asked, recursive: true, mode: (mode & MODES) | OWN });
  for (const name of await readdir(from, { encoding: 'buffer' })) {
    const [source, target] = [joinBytes(from, name), joinBytes(path, name)];
    const facts = await lstat(source);
    if (facts.isDirectory()) await uploadDirectory(walk, source, target, facts);
    else if (facts.isFile()) await uploadFile(walk, source, target, facts);
    else if (facts.isSymbolicLink()) await link(target, await readlink(source, { encoding: 'buffer' }), asked.signal);
    else report.skipped.push(source.toString());
  }
  if (isNew && (mode & OWN) !== OWN) await files.chmod(path, mode & MODES, asked);
}

export async function downloadFiles(
  files: SessionFiles,
  path: Buffer,
  to: string,
  asked: Asked,
): Promise<TransferReport> {
  const walk = beginWalk(files, asked);
  const facts = await files.stat(path, asked);
  if (facts.type === 'other') {
    throw new DriverError('invalid-argument', `${path} is neither a file nor a directory`, { operation: 'download' });
  }
  try {
    if (facts.type === 'dir') await downloadDirectory(walk, path, Buffer.from(to), facts);
    else await downloadFile(walk, path, Buffer.from(to), facts);
  } catch (error) {
    throw error instanceof DriverError ? error : describeHostFailure('download', to, error);
  }
  return walk.report;
}

/** Under another name until it is whole. */
async function downloadFile({ files, asked, report }: Walk, path: Buffer, to: Buffer, { mode }: Facts): Promise<void> {
  const temporary = Buffer.concat([to, Buffer.from(`.${randomBytes(6).toString('hex')}`)]);
  const count = countBytes(report);
  try {
    const target = createWriteStream(temporary, { flags: 'wx', mode: mode & MODES });
    await pipeline(count(files.createReadStream(path, asked)), target);
    await rename(temporary, to);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  report.files++;
}

/** A new one, made here: nothing that the session names twice, or as a link, leads out of it. */
async function downloadDirectory(walk: Walk, path: Buffer, to: Buffer, { mode }: Facts): Promise<void> {
  const { files, asked, report } = walk;
  await mkdir(to, { mode: (mode & MODES) | OWN });
  for (const entry of await files.readdir(path, asked)) {
    const name = Buffer.from(entry.nameBytes ?? entry.name);
    const [source, target] = [joinBytes(path, name), joinBytes(to, name)];
    if (entry.type === 'dir') await downloadDirectory(walk, source, target, entry);
    else if (entry.type === 'file') await downloadFile(walk, source, target, entry);
    else if (entry.type === 'symlink') {
      const link = await files.stat(source, { ...asked, followSymlinks: false });
      await symlink(link.target ?? '', target);
    } else report.skipped.push(source.toString());
  }
  if ((mode & OWN) !== OWN) await chmod(to, mode & MODES);
}

function joinBytes(directory: Buffer, name: Uint8Array): Buffer {
  const isRoot = directory.at(-1) === '/'.charCodeAt(0);
  return Buffer.concat([directory, Buffer.from(isRoot ? '' : '/'), name]);
}

function countBytes(report: TransferReport) {
  return async function* count(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      report.bytes += chunk.length;
      yield chunk;
    }
  };
}

function describeHostFailure(operation: string, path: string, cause: unknown): DriverError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const kind = code === 'ENOENT' ? 'not-found' : code === 'EEXIST' ? 'already-exists' : 'failed-precondition';
  return new DriverError(kind, `${operation} on the host, ${path}: ${message}`, { operation, cause });
}
