import type { Readable } from 'node:stream';

/** A piece of output, as it came. */
export interface OutputChunk {
  /** With a terminal always `stdout`. */
  source: 'stdout' | 'stderr';
  /** May end within a character. */
  data: Uint8Array;
}

/**
 * The chunks of both streams in the order in which they came. Leaving the loop leaves the streams open, for whoever
 * reads on.
 */
export async function* mergeOutput(stdout: Readable, stderr: Readable): AsyncGenerator<OutputChunk, void, undefined> {
  const iterators = { stdout: readFrom(stdout), stderr: readFrom(stderr) };
  const open = new Set<OutputChunk['source']>(['stdout', 'stderr']);
  // Not Promise.race: a stream that stays silent would keep every race, and with it every chunk of the other one.
  const arrived: (() => OutputChunk | undefined)[] = [];
  let wake: () => void = () => undefined;
  const arrive = (take: () => OutputChunk | undefined) => {
    arrived.push(take);
    wake();
  };
  const advance = (source: OutputChunk['source']) => {
    iterators[source].next().then(
      ({ done, value }) =>
        arrive(() => {
          if (done) open.delete(source);
          return done ? undefined : { source, data: value };
        }),
      (error) =>
        arrive(() => {
          throw error;
        }),
    );
  };
  advance('stdout');
  advance('stderr');
  try {
    while (open.size > 0) {
      const take = arrived.shift();
      if (take === undefined) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        continue;
      }
      const chunk = take();
      if (chunk === undefined) continue;
      advance(chunk.source);
      yield chunk;
    }
  } finally {
    // Not awaited: a return waits for the read under way, which may never come.
    for (const source of open) iterators[source].return?.().catch(() => undefined);
  }
}

function readFrom(stream: Readable): AsyncIterator<Uint8Array> {
  return stream.iterator({ destroyOnReturn: false }) as AsyncIterator<Uint8Array>;
}
