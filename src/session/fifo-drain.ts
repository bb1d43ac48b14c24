import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { listNamesSync } from '../core/absent.js';
import { FifoReader } from '../stdio/reader.js';

/**
 * Reads away whatever a session still writes while `work` takes it down. A process of ours that was killed leaves
 * FIFOs without a reader: a shim that opens one then waits for ever, and with it every call for the session.
 */
export async function drainFifos<T>(directory: string, work: () => Promise<T>): Promise<T> {
  const readers: FifoReader[] = [];
  try {
    for (const path of listFifos(directory)) readers.push(openDrain(path));
    return await work();
  } finally {
    for (const reader of readers) reader.destroy();
  }
}

function openDrain(path: string): FifoReader {
  const reader = new FifoReader(path);
  // What is read away is nobody's, and so is a failure to read it.
  reader.on('error', () => undefined);
  return reader.resume();
}

function listFifos(directory: string): string[] {
  return listNamesSync(directory)
    .map((name) => join(directory, name))
    .filter((path) => lstatSync(path, { throwIfNoEntry: false })?.isFIFO());
}
