import type { Readable } from 'node:stream';

/** More than all pipes between a process and this stream hold: what comes beyond it was written later. */
const PIPES_BYTES = 1024 * 1024;
/** Ms of silence by which what was under way has come. */
const QUIET_MS = 100;
/** Ms that silence is waited for in vain, from a child that writes line after line. */
const NOISE_MS = 1_000;

/**
 * Reads on, for `boundMs`, a stream that others read and whose process has ended: a child may still hold the other
 * end. Then it gives up as soon as all that the process itself wrote was taken. A slow reader's pauses do not count.
 */
export async function drain(stream: Readable, boundMs: number): Promise<void> {
  const until = Date.now() + boundMs;
  let received = 0;
  let last = 0;
  const notice = (chunk: Uint8Array) => {
    received += chunk.length;
    last = Date.now();
  };
  const isTaken = (overMs: number) =>
    received > PIPES_BYTES || (stream.readableLength === 0 && (Date.now() - last >= QUIET_MS || overMs >= NOISE_MS));
  stream.on('data', notice);
  try {
    while (!stream.readableEnded && !stream.destroyed) {
      const leftMs = until - Date.now();
      if (leftMs <= 0 && isTaken(-leftMs)) return;
      await waitForEnd(stream, Math.max(leftMs, QUIET_MS / 4));
    }
  } finally {
    stream.off('data', notice);
  }
}

/** An AbortSignal would cost more than a short command. */
function waitForEnd(stream: Readable, boundMs: number): Promise<void> {
  return new Promise((resolve) => {
    const events = ['end', 'error', 'close'];
    const stop = () => {
      clearTimeout(timer);
      for (const event of events) stream.off(event, stop);
      resolve();
    };
    const timer = setTimeout(stop, boundMs);
    for (const event of events) stream.on(event, stop);
  });
}
