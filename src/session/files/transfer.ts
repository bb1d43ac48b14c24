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
  link: (path: Uint8Array, target: Uint8Array, signal?: AbortSignal) => Promise<unknown>;
}

/** What was read of the source already, wherever it is. */
type Facts = Pick<FileStat, 'mode'>;

interface Asked {
  signal?: AbortSignal;
}

/** What a directory must allow whoever fills it. */
const OWN = 0o700;
const MODES = 0o777;

export async function uploadFiles(to: Upload, from: string, path: Buffer, asked: Asked): Promise<TransferReport> {
  const report: TransferReport = { files: 0, bytes: 0, skipped: [] };
  // A link that is named is followed, as cp does.
  const facts = await stat(from).catch((cause) => {
    throw describeHostFailure('upload', from, cause);
  });
  if (facts.isDirectory()) await uploadDirectory(to, Buffer.from(from), path, facts, asked, report);
  else if (facts.isFile()) await uploadFile(to, Buffer.from(from), path, facts, asked, report);
  else throw new DriverError('invalid-argument', `${from} is neither a file nor a directory`, { operation: 'upload' });
  return report;
}

async function uploadFile(
  to: Upload,
  from: Buffer,
  path: Buffer,
  { mode }: Facts,
  asked: Asked,
  report: TransferReport,
): Promise<void> {
  const count = countBytes(report);
  await to.files.writeFile(path, count(createReadStream(from)), { ...asked, mode: mode & MODES });
  report.files++;
}

async function uploadDirectory(
  to: Upload,
  from: Buffer,
  path: Buffer,
  { mode }: Facts,
  asked: Asked,
  report: TransferReport,
): Promise<void> {
  const isNew = !(await to.files.exists(path, asked));
  if (isNew) await to.files.mkdir(path, { ...asked, recursive: true, mode: (mode & MODES) | OWN });
  for (const name of await readdir(from, { encoding: 'buffer' })) {
    const [source, target] = [joinBytes(from, name), joinBytes(path, name)];
    const facts = await lstat(source);
    if (facts.isDirectory()) await uploadDirectory(to, source, target, facts, asked, report);
    else if (facts.isFile()) await uploadFile(to, source, target, facts, asked, report);
    else if (facts.isSymbolicLink())
      await to.link(target, await readlink(source, { encoding: 'buffer' }), asked.signal);
    else report.skipped.push(source.toString());
  }
  if (isNew && (mode & OWN) !== OWN) await to.files.chmod(path, mode & MODES, asked);
}

export async function downloadFiles(
  files: SessionFiles,
  path: Buffer,
  to: string,
  asked: Asked,
): Promise<TransferReport> {
  const report: TransferReport = { files: 0, bytes: 0, skipped: [] };
  const facts = await files.stat(path, asked);
  if (facts.type === 'other') {
    throw new DriverError('invalid-argument', `${path} is neither a file nor a directory`, { operation: 'download' });
  }
  try {
    if (facts.type === 'dir') await downloadDirectory(files, path, Buffer.from(to), facts, asked, report);
    else await downloadFile(files, path, Buffer.from(to), facts, asked, report);
  } catch (error) {
    throw error instanceof DriverError ? error : describeHostFailure('download', to, error);
  }
  return report;
}

/** Under another name until it is whole. */
async function downloadFile(
  files: SessionFiles,
  path: Buffer,
  to: Buffer,
  { mode }: Facts,
  asked: Asked,
  report: TransferReport,
): Promise<void> {
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
async function downloadDirectory(
  files: SessionFiles,
  path: Buffer,
  to: Buffer,
  { mode }: Facts,
  asked: Asked,
  report: TransferReport,
): Promise<void> {
  await mkdir(to, { mode: (mode & MODES) | OWN });
  for (const entry of await files.readdir(path, asked)) {
    const name = Buffer.from(entry.nameBytes ?? entry.name);
    const [source, target] = [joinBytes(path, name), joinBytes(to, name)];
    if (entry.type === 'dir') await downloadDirectory(files, source, target, entry, asked, report);
    else if (entry.type === 'file') await downloadFile(files, source, target, entry, asked, report);
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
