import { finished, type Readable } from 'node:stream';

/** A piece of output, as it came. */
export interface OutputChunk {
  /** With a terminal always `stdout`. */
  source: 'stdout' | 'stderr';
  /** May end within a character. */
  data: Uint8Array;
}

/**
 * The chunks of both streams in the order in which they came. Leaving the loop leaves the streams open, for whoever
 * reads on. By their events: the iterator of a stream joins the chunks that wait into a copy.
 */
export async function* mergeOutput(stdout: Readable, stderr: Readable): AsyncGenerator<OutputChunk, void, undefined> {
  const streams = { stdout, stderr };
  const open = new Set<OutputChunk['source']>(['stdout', 'stderr']);
  const arrived: OutputChunk[] = [];
  let failure: { error: Error } | undefined;
  let wake: () => void = () => undefined;
  const listen = (source: OutputChunk['source']) => {
    const stream = streams[source];
    const take = (data: Uint8Array) => {
      arrived.push({ source, data });
      stream.pause();
      wake();
    };
    const forget = finished(stream, { writable: false }, (error) => {
      open.delete(source);
      if (error) failure ??= { error };
      wake();
    });
    stream.on('data', take).resume();
    return () => {
      forget();
      stream.off('data', take);
      if (stream.listenerCount('data') > 0) stream.resume();
      else stream.pause();
    };
  };
  const stops = [listen('stdout'), listen('stderr')];
  try {
    while (open.size > 0 || arrived.length > 0) {
      const chunk = arrived.shift();
      if (chunk !== undefined) {
        yield chunk;
        streams[chunk.source].resume();
        continue;
      }
      if (failure !== undefined) throw failure.error;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    if (failure !== undefined) throw failure.error;
  } finally {
    for (const stop of stops) stop();
  }
}
