import { once } from 'node:events';
import type { Readable } from 'node:stream';

/**
 * Waits until a stream that others read has ended. Gives up after `idleMs` in which nothing came although all that
 * came was taken: then someone else holds the other end. A slow reader's pauses do not count.
 */
export async function drain(stream: Readable, idleMs: number): Promise<void> {
  let seen = false;
  const notice = () => {
    seen = true;
  };
  stream.on('data', notice);
  try {
    while (!stream.readableEnded && !stream.destroyed) {
      seen = false;
      const idle = AbortSignal.timeout(idleMs);
      await once(stream, 'end', { signal: idle }).catch(() => undefined);
      if (idle.aborted && !seen && stream.readableLength === 0) return;
    }
  } finally {
    stream.off('data', notice);
  }
}
