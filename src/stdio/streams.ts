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
  /** Closes this end. What was read and not yet taken is lost. */
  destroy(): void;
  /** Closes this end for whoever opens it next: what was read is still to be had here, the rest is theirs. */
  letGo(): void;
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
    const readers = [stdout];
    if (paths.stderr !== undefined) readers.push(keep(new FifoReader(paths.stderr)));
    const stderr = readers[1] ?? keep(Readable.from([]));
    const stdin = paths.stdin === undefined ? null : keep(openWriter(paths.stdin));
    const letGo = () => {
      for (const reader of readers) reader.letGo();
      stdin?.destroy();
    };
    return { paths, stdout, stderr, stdin, destroy, letGo };
  } catch (error) {
    destroy();
    throw error;
  }
}
