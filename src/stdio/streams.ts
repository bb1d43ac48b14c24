import { Readable, type Writable } from 'node:stream';
import type { FifoSet } from './fifo.js';
import { FifoReader } from './reader.js';
import { openWriter } from './writer.js';

/** This end of a process's streams. */
export interface ExecStreams {
  paths: FifoSet;
  stdout: Readable;
  /** Ends at once under a terminal, which merges it into stdout. */
  stderr: Readable;
  /** Null when the process has none. */
  stdin: Writable | null;
  destroy(): void;
}

/** Opens this end of the FIFOs; nothing stays open when one of them cannot be. */
export function openStreams(paths: FifoSet): ExecStreams {
  const opened: { destroy(): unknown }[] = [];
  const keep = <T extends { destroy(): unknown }>(stream: T): T => {
    opened.push(stream);
    return stream;
  };
  const destroy = () => {
    for (const stream of opened) stream.destroy();
  };
  try {
    const stdout = keep(new FifoReader(paths.stdout));
    const stderr = keep(paths.stderr === undefined ? Readable.from([]) : new FifoReader(paths.stderr));
    const stdin = paths.stdin === undefined ? null : keep(openWriter(paths.stdin));
    return { paths, stdout, stderr, stdin, destroy };
  } catch (error) {
    destroy();
    throw error;
  }
}
