import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { DriverError } from '../../core/error.js';
import type { ExecProcess } from '../executor.js';
import { encodeNumbers } from '../supervisor/protocol.js';
import { describeFailure } from './failure.js';

/** What can be written: a text, bytes, or a source of them that is read as fast as it can be written. */
export type FileData = string | Uint8Array | AsyncIterable<string | Uint8Array>;

/** One operation, as native/files.c knows it. */
export interface FilesRequest {
  what: 'read' | 'write' | 'list' | 'stat' | 'mkdir' | 'rm' | 'rename' | 'chmod' | 'link';
  path: Uint8Array;
  more?: readonly (string | Uint8Array)[];
  signal?: AbortSignal | undefined;
}

/** Starts an operation inside the session. */
export type StartFiles = (request: FilesRequest, input: boolean) => Promise<ExecProcess>;

/** Pieces of what is written, so that an abort is seen between two. */
const PIECE_BYTES = 1024 * 1024;
/** For which an operation that is given up may clean up, in ms: in a paused session it does so when that goes on. */
const CLEAN_UP_MS = 2_000;

/** Does one operation and gives what it tells, as it comes. Throws what kept it from being done. */
export async function* runOperation(
  start: StartFiles,
  request: FilesRequest,
  data?: FileData,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { signal, what, path } = request;
  assertWanted(request);
  const process = await start(request, data !== undefined);
  const over = new AbortController();
  const giveUp = () => process.stdout.destroy(describeAbort(request));
  signal?.addEventListener('abort', giveUp, { once: true });
  try {
    assertWanted(request);
    const complaint = collect(process.stderr);
    complaint.catch(() => undefined);
    // What the source fails with is what the operation fails with; one that ends before its input says why itself.
    if (data !== undefined) feed(process, data, over.signal).catch((error) => process.stdout.destroy(error));
    yield* process.stdout as AsyncIterable<Uint8Array>;
    const { code } = await process.exited;
    if (code !== 0) throw describeFailure(what, code, (await complaint).toString() || Buffer.from(path).toString());
  } finally {
    signal?.removeEventListener('abort', giveUp);
    over.abort();
    if (data !== undefined) await endInput(process);
    await process.release();
  }
}

export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

function assertWanted(request: FilesRequest): void {
  if (request.signal?.aborted) throw describeAbort(request);
}

function describeAbort({ what, path, signal }: FilesRequest): DriverError {
  const message = `${what} of ${Buffer.from(path)} was aborted`;
  return new DriverError('canceled', message, { operation: what, cause: signal?.reason });
}

/** Each piece behind its size, and a size of 0: an end without it is one that nobody meant. */
async function* divide(data: FileData): AsyncGenerator<Uint8Array, void, undefined> {
  const source = typeof data === 'string' || data instanceof Uint8Array ? [data] : data;
  for await (const chunk of source) {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      const piece = bytes.subarray(at, at + PIECE_BYTES);
      yield encodeNumbers(piece.length);
      yield piece;
    }
  }
  yield encodeNumbers(0);
}

async function feed(process: ExecProcess, data: FileData, signal: AbortSignal): Promise<void> {
  if (process.stdin === null) throw new DriverError('data-loss', 'it takes no input', { operation: 'supervisor' });
  await pipeline(Readable.from(divide(data), { objectMode: false }), process.stdin, { signal });
}

/** What was written of a file that is given up is gone when whoever gave it up is told so. */
async function endInput(process: ExecProcess): Promise<void> {
  process.stdin?.destroy();
  const ended = process.exited.then(
    () => undefined,
    () => undefined,
  );
  await Promise.race([ended, sleep(CLEAN_UP_MS, undefined, { ref: false })]);
}
