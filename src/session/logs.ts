import { execFile } from 'node:child_process';
import { type FileHandle, open, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { OutputChunk } from '../stdio/merge.js';
import type { TaskIo } from './task.js';

const run = promisify(execFile);
const sources = ['stdout', 'stderr'] as const;
const POLL_MS = 50;
const CHUNK_BYTES = 64 * 1024;

/** What is kept of each stream of a session's own command, in bytes. */
export const LOG_BYTES = 16 * 1024 * 1024;

function nameLog(directory: string, source: OutputChunk['source']): string {
  return join(directory, `${source}.log`);
}

/**
 * Makes the files that the shim itself appends the command's output to, so that they go on without this process. Under
 * a terminal there is one, as it merges the streams.
 */
export async function createLogs(directory: string, terminal: boolean): Promise<Pick<TaskIo, 'stdout' | 'stderr'>> {
  const [stdout, stderr] = sources.map((source) => nameLog(directory, source)) as [string, string];
  await Promise.all([stdout, stderr].map((path) => writeFile(path, '', { flag: 'a', mode: 0o600 })));
  return { stdout, stderr: terminal ? '' : stderr };
}

/**
 * Frees the blocks of what lies before the last bytes that are kept. Punching a hole loses nothing that is written
 * meanwhile and moves no offset under a reader, as a truncation would.
 */
export async function trimLogs(directory: string): Promise<void> {
  for (const source of sources) {
    const path = nameLog(directory, source);
    const { size, blocks } = await stat(path).catch(() => ({ size: 0, blocks: 0 }));
    if (blocks * 512 <= 2 * LOG_BYTES) continue;
    await run('fallocate', ['--punch-hole', '--offset', '0', '--length', String(size - LOG_BYTES), path]);
  }
}

export interface LogOptions {
  /** Goes on with what comes, until the command ends or the signal is aborted. */
  follow?: boolean;
  /** Begins with that many last lines of each stream. */
  tail?: number;
  signal?: AbortSignal;
}

/** The output of a session's own command, kept up to `LOG_BYTES` a stream. */
export async function* readLogs(
  directory: string,
  { follow = false, tail, signal }: LogOptions,
  hasEnded: () => Promise<boolean>,
): AsyncGenerator<OutputChunk, void, undefined> {
  const files: { source: OutputChunk['source']; file: FileHandle; offset: number }[] = [];
  try {
    for (const source of sources) {
      const file = await open(nameLog(directory, source), 'r');
      files.push({ source, file, offset: 0 });
      const entry = files.at(-1) as (typeof files)[number];
      entry.offset = await findStart(file, tail);
    }
    for (;;) {
      // Asked before the last read: what came between the two is then read for certain.
      const isLast = !follow || signal?.aborted === true || (await hasEnded());
      let seen = false;
      for (const entry of files) {
        for (;;) {
          const { bytesRead, buffer } = await entry.file.read(
            Buffer.allocUnsafe(CHUNK_BYTES),
            0,
            CHUNK_BYTES,
            entry.offset,
          );
          if (bytesRead === 0) break;
          entry.offset += bytesRead;
          seen = true;
          yield { source: entry.source, data: buffer.subarray(0, bytesRead) };
        }
      }
      if (isLast) return;
      if (!seen) await sleep(POLL_MS);
    }
  } finally {
    await Promise.all(files.map(({ file }) => file.close()));
  }
}

/** Where the last `lines` begin; a last line without an end counts as one. */
async function findStart(file: FileHandle, lines: number | undefined): Promise<number> {
  const { size } = await file.stat();
  const first = Math.max(0, size - LOG_BYTES);
  if (lines === undefined) return first;
  if (lines === 0) return size;
  let left = lines;
  for (let end = size; end > first; ) {
    const start = Math.max(first, end - CHUNK_BYTES);
    const { buffer } = await file.read(Buffer.alloc(end - start), 0, end - start, start);
    for (let at = buffer.length - 1; at >= 0; at--) {
      // The newline that ends the file begins no line.
      if (buffer[at] === 10 && start + at !== size - 1 && --left === 0) return start + at + 1;
    }
    end = start;
  }
  return first;
}
