import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DriverError } from './error.js';

/** How many of its last lines tell why a program failed. */
const TOLD_LINES = 10;
/** Between SIGTERM and SIGKILL, in ms. */
const GRACE_MS = 5_000;

/** Path of a program on PATH or in one of these directories; undefined when there is none that may be run. */
export function findProgram(name: string, places: readonly string[] = []): string | undefined {
  return findIn([...listPlaces(process.env.PATH), ...places], name);
}

/** The absolute ones of a list such as PATH. */
export function listPlaces(path = ''): string[] {
  return path.split(':').filter((place) => place.startsWith('/'));
}

/** Path of the first program of that name; undefined when there is none that may be run. */
export function findIn(places: readonly string[], name: string): string | undefined {
  return places.map((place) => join(place, name)).find(isExecutable);
}

/** That it is a file which this process may run; a directory may be "executed" too, which means another thing. */
export function isExecutable(path: string): boolean {
  try {
    // First what does not throw: most of the places that are looked at have no such file, and an error costs a stack.
    if (statSync(path, { throwIfNoEntry: false })?.isFile() !== true) return false;
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export interface RunOptions {
  /** Names the run in messages; its arguments may hold what is in none. */
  operation: string;
  /** Each line that it writes to either stream. */
  onLine?: ((line: string) => void) | undefined;
  /** Ends it with all that it started; the call then rejects with `canceled`. */
  signal?: AbortSignal | undefined;
  /** What it reads. Defaults to nothing. */
  input?: string | undefined;
}

/** Runs a program to its end, without a shell. Rejects with its last lines when it does not end well. */
export async function runProgram(
  file: string,
  args: readonly string[],
  { operation, onLine, signal, input = '' }: RunOptions,
): Promise<void> {
  const canceled = () => new DriverError('canceled', `${operation} was aborted`, { operation, cause: signal?.reason });
  if (signal?.aborted) throw canceled();
  // A group of its own, so that what it starts ends with it.
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  // One that ends without reading says why on its output.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  const lines: string[] = [];
  for (const output of [child.stdout, child.stderr]) {
    createInterface({ input: output }).on('line', (line) => {
      lines.push(line);
      lines.splice(0, lines.length - TOLD_LINES);
      onLine?.(line);
    });
  }
  let timer: NodeJS.Timeout | undefined;
  const end = () => {
    endGroup(child, 'SIGTERM');
    timer = setTimeout(() => endGroup(child, 'SIGKILL'), GRACE_MS);
  };
  signal?.addEventListener('abort', end, { once: true });
  try {
    const status = await new Promise<number | string | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, killed) => resolve(code ?? killed));
    });
    if (signal?.aborted) throw canceled();
    if (status !== 0) {
      throw new DriverError('unknown', `${operation} ended with ${status}: ${lines.join('\n')}`, { operation });
    }
  } catch (error) {
    if (error instanceof DriverError) throw error;
    throw new DriverError('unknown', `${operation}: ${(error as Error).message}`, { operation, cause: error });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', end);
  }
}

function endGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
