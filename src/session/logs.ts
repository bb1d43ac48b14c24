import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { type FileHandle, open, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { ignoreAbsent } from '../core/absent.js';
import type { OutputChunk } from '../stdio/merge.js';
import type { TaskIo } from './task.js';

const run = promisify(execFile);
const sources = ['stdout', 'stderr'] as const;
type Source = (typeof sources)[number];
const POLL_MS = { first: 2, most: 50 };
const TRIM_MS = 1_000;
const CHUNK_BYTES = 64 * 1024;

/** What is kept of each stream of a session's own command, in bytes. */
export const LOG_BYTES = 16 * 1024 * 1024;

/** The files that the shim writes, by source. */
export function nameLog(directory: string, source: Source): string {
  return join(directory, `${source}.log`);
}

/** What a terminal's command wrote before it was started again. */
function nameEarlier(directory: string): string {
  return join(directory, 'stdout.earlier.log');
}

/**
 * Makes the files that the shim itself writes the command's output to, so that they go on without this process. Under
 * a terminal there is one, as it merges the streams.
 */
export async function createLogs(directory: string, terminal: boolean): Promise<Pick<TaskIo, 'stdout' | 'stderr'>> {
  if (terminal) await setAside(directory);
  const [stdout, stderr] = sources.map((source) => nameLog(directory, source)) as [string, string];
  await Promise.all([stdout, stderr].map((path) => writeFile(path, '', { flag: 'a', mode: 0o600 })));
  return { stdout, stderr: terminal ? '' : stderr };
}

/**
 * Shims append the output of pipes, but write that of a terminal from the file's start, over what is there (seen on
 * 1.6, 1.7 and 2.1). A new file takes the place of the old one, which whoever still reads it goes on reading.
 */
async function setAside(directory: string): Promise<void> {
  const [current, earlier] = [nameLog(directory, 'stdout'), nameEarlier(directory)];
  const last = await readLast(current);
  if (last.length === 0) return;
  const next = `${earlier}.next`;
  await writeFile(next, Buffer.concat([await readLast(earlier), last]).subarray(-LOG_BYTES), { mode: 0o600 });
  await rename(next, earlier);
  await rm(current);
}

async function readLast(path: string): Promise<Buffer> {
  const { size } = await statOptional(path);
  const chunks: Buffer[] = [];
  if (size > 0) {
    await using file = await open(path, 'r');
    const start = Math.max(0, size - LOG_BYTES);
    for await (const chunk of file.createReadStream({ start, autoClose: false })) chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}

async function statOptional(path: string): Promise<{ size: number; blocks: number }> {
  return (await stat(path).catch(ignoreAbsent)) ?? { size: 0, blocks: 0 };
}

/**
 * What lies before may be freed at any time. It follows from the size alone, which only grows: so a reader that looks
 * at the size after it has read knows what of it may have been a hole, whoever trims.
 */
function findKept(size: number): number {
  return Math.max(0, (Math.floor(size / LOG_BYTES) - 1) * LOG_BYTES);
}

/**
 * Frees the blocks of what lies before the last bytes that are kept. Punching a hole loses nothing that is written
 * meanwhile and moves no offset under a reader or a writer, as a truncation would.
 */
export async function trimLogs(directory: string): Promise<void> {
  for (const source of sources) {
    const path = nameLog(directory, source);
    const { size, blocks } = await statOptional(path);
    const kept = findKept(size);
    // Blocks may also lie behind the end, where a file system takes them ahead of need.
    if (kept === 0 || blocks * 512 < size - kept + LOG_BYTES / 2) continue;
    await run('fallocate', ['--punch-hole', '--offset', '0', '--length', String(kept), path]);
  }
}

/** Trims again and again while this process lives; returns what ends it. */
export function keepTrimmed(directory: string): () => void {
  let isBusy = false;
  const timer = setInterval(async () => {
    if (isBusy) return;
    isBusy = true;
    // Another process may have destroyed the session.
    if (!existsSync(directory)) clearInterval(timer);
    // A directory that is being removed, or a file system without holes: the reaper tells of what lasts.
    await trimLogs(directory).catch(() => undefined);
    isBusy = false;
  }, TRIM_MS).unref();
  return () => clearInterval(timer);
}

/** What of the output to read. */
export interface LogOptions {
  /** Goes on with what comes, until the command ends or the signal is aborted. */
  follow?: boolean;
  /** Begins with that many last lines of each stream. */
  tail?: number;
  /** Ends the loop without an error. */
  signal?: AbortSignal;
}

export interface LogFile {
  source: Source;
  file: FileHandle;
  offset: number;
}

/**
 * The output of a session's own command, kept up to `LOG_BYTES` a stream. A reader that falls further behind goes on
 * with what is kept. Closes the files that `openLogs` opened.
 */
export async function* readLogs(
  files: readonly LogFile[],
  { follow = false, signal }: Omit<LogOptions, 'tail'>,
  hasEnded: () => boolean,
): AsyncGenerator<OutputChunk, void, undefined> {
  try {
    for (let pause = POLL_MS.first; ; pause = Math.min(pause * 2, POLL_MS.most)) {
      // Asked before the last read: what came between the two is then read for certain.
      const isLast = !follow || signal?.aborted === true || hasEnded();
      for (const entry of files) {
        for await (const data of readNew(entry)) {
          pause = POLL_MS.first;
          yield { source: entry.source, data };
          if (signal?.aborted) return;
        }
      }
      if (isLast) return;
      await sleep(pause);
    }
  } finally {
    await closeLogs(files);
  }
}

async function closeLogs(files: readonly LogFile[]): Promise<void> {
  await Promise.all(files.map(({ file }) => file.close()));
}

/** Opens the logs where the last `tail` lines of each stream begin now; all that is kept without it. */
export async function openLogs(directory: string, tail?: number): Promise<LogFile[]> {
  const files: LogFile[] = [];
  try {
    for (const source of sources) {
      const paths = [nameLog(directory, source), ...(source === 'stdout' ? [nameEarlier(directory)] : [])];
      let bytes = LOG_BYTES;
      let lines = tail;
      for (const path of paths) {
        const file = await open(path, 'r').catch(ignoreAbsent);
        if (file === undefined) continue;
        const entry: LogFile = { source, file, offset: 0 };
        files.unshift(entry);
        const { size } = await file.stat();
        const first = Math.max(0, size - bytes);
        const start = await findStart(file, { first, size, lines });
        entry.offset = start.offset;
        lines = start.lines;
        bytes -= size - first;
      }
    }
    return files;
  } catch (error) {
    await closeLogs(files);
    throw error;
  }
}

/** Up to the end that the file has now, so that the other stream has its turn. */
async function* readNew(entry: LogFile): AsyncGenerator<Buffer, void, undefined> {
  const { size: end } = await entry.file.stat();
  while (entry.offset < end) {
    const wanted = Math.min(CHUNK_BYTES, end - entry.offset);
    const { bytesRead, buffer } = await entry.file.read(Buffer.allocUnsafe(wanted), 0, wanted, entry.offset);
    const kept = findKept((await entry.file.stat()).size);
    if (entry.offset < kept) {
      entry.offset = kept;
      continue;
    }
    if (bytesRead === 0) return;
    entry.offset += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

interface Range {
  first: number;
  size: number;
  lines: number | undefined;
}

/** Where the last lines begin, and how many of them are before this file; a last line without an end counts as one. */
async function findStart(file: FileHandle, { first, size, lines }: Range): Promise<{ offset: number; lines?: number }> {
  if (lines === undefined) return { offset: first };
  if (lines === 0) return { offset: size, lines };
  let left = lines;
  for (let end = size; end > first; ) {
    const start = Math.max(first, end - CHUNK_BYTES);
    const { buffer } = await file.read(Buffer.alloc(end - start), 0, end - start, start);
    for (let at = buffer.length - 1; at >= 0; at--) {
      // The newline that ends the file begins no line.
      if (buffer[at] === 10 && start + at !== size - 1 && --left === 0) return { offset: start + at + 1, lines: 0 };
    }
    end = start;
  }
  return { offset: first, lines: size > first ? left - 1 : left };
}
