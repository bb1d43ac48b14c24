import type { Readable } from 'node:stream';

export interface OutputChunk {
  source: 'stdout' | 'stderr';
  data: Uint8Array;
}

/**
 * The chunks of both streams in the order in which they came. Leaving the loop leaves the streams open, for whoever
 * reads on.
 */
export async function* mergeOutput(stdout: Readable, stderr: Readable): AsyncGenerator<OutputChunk, void, undefined> {
  const iterators = { stdout: readFrom(stdout), stderr: readFrom(stderr) };
  const advance = async (source: OutputChunk['source']) => ({ source, step: await iterators[source].next() });
  const pending = new Map<OutputChunk['source'], ReturnType<typeof advance>>([
    ['stdout', advance('stdout')],
    ['stderr', advance('stderr')],
  ]);
  try {
    while (pending.size > 0) {
      const { source, step } = await Promise.race(pending.values());
      if (step.done) {
        pending.delete(source);
        continue;
      }
      pending.set(source, advance(source));
      yield { source, data: step.value };
    }
  } finally {
    // Not awaited: a return waits for the read under way, which may never come.
    for (const source of pending.keys()) iterators[source].return?.().catch(() => undefined);
  }
}

function readFrom(stream: Readable): AsyncIterator<Uint8Array> {
  return stream.iterator({ destroyOnReturn: false }) as AsyncIterator<Uint8Array>;
}
