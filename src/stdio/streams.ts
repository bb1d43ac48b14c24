import { closeSync, constants, openSync } from 'node:fs';
import { Readable, type Writable } from 'node:stream';
import type { FifoSet } from './fifo.js';
import { FifoReader } from './reader.js';
import { openWriter } from './writer.js';

/** Control-D ends the line that a terminal's reader waits for, and on an empty line its input (termios(3), VEOF). */
export const END_OF_LINE_AND_INPUT = '\x04\x04';

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
  /** Nothing more can come of the FIFOs: they may serve another. */
  isOver(): boolean;
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
    const isTerminal = paths.stderr === undefined;
    const readers = [stdout];
    if (paths.stderr !== undefined) readers.push(keep(new FifoReader(paths.stderr)));
    const stderr = readers[1] ?? keep(Readable.from([]));
    const stdin =
      paths.stdin === undefined ? null : keep(openWriter(paths.stdin, isTerminal ? END_OF_LINE_AND_INPUT : ''));
    const letGo = () => {
      for (const reader of readers) reader.letGo();
      stdin?.destroy();
    };
    const isOver = () => readers.every((reader) => reader.isOver);
    return { paths, stdout, stderr, stdin, destroy, isOver, letGo };
  } catch (error) {
    destroy();
    throw error;
  }
}

/**
 * Opens this end of the FIFOs of a process that runs already, and may have ended: a reader that never saw a writer waits
 * for one for ever (fifo(7)), so each is shown one. Where no other holds the FIFO its stream then ends.
 */
export function reopenStreams(paths: FifoSet): ExecStreams {
  const streams = openStreams(paths);
  for (const path of [paths.stdout, paths.stderr]) {
    if (path !== undefined) closeSync(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK));
  }
  return streams;
}
