import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import type { buildConnector } from 'undici';

type Connector = ReturnType<typeof buildConnector>;
type Options = NonNullable<Parameters<typeof buildConnector>[0]>;

/** Memory that a connection reads into at a time. */
const SLAB_BYTES = 1024 * 1024;
/** Less than this at the end of a slab is not worth a read. */
const LEAST_BYTES = 256 * 1024;
/** Kept to be used again: what a few connections have under way. */
const KEPT = 16;

interface Slab {
  data: Buffer;
  /** Bytes that were read into it. */
  used: number;
  /** Bytes of those that nobody looks at any more. */
  returned: number;
  isFull: boolean;
  free: Slab[];
}

const slabs = new WeakMap<ArrayBufferLike, Slab>();

/**
 * undici's own connector, with reads of up to 1 MiB into memory that is used again. Node reads 64 KiB at a time, each into
 * new memory, whose collection was the largest item of a pull's profile.
 */
export function createConnector({ buildConnector }: typeof import('undici'), options: Options): Connector {
  const free: Slab[] = [];
  return (target, done) => {
    let socket: Socket | undefined;
    let slab = takeSlab(free);
    const onread = {
      buffer() {
        if (SLAB_BYTES - slab.used < LEAST_BYTES) {
          slab.isFull = true;
          keep(slab);
          slab = takeSlab(free);
        }
        return slab.data.subarray(slab.used);
      },
      callback(bytes: number) {
        const chunk = slab.data.subarray(slab.used, slab.used + bytes);
        slab.used += bytes;
        // A server speaks when it was asked, which is after the connection was handed over.
        return socket?.push(chunk) ?? false;
      },
    };
    // One chunk at a time: several that wait would be copied into one.
    const settings = { ...options, highWaterMark: 1, onread };
    buildConnector(settings)(target, (...[error, connected]) => {
      if (error !== null) return done(error, null);
      socket = connected;
      done(null, connected);
    });
  };
}

/** The next chunk as it came: a read, or a loop over the stream, copies those that wait into one. */
export function takeChunk(body: Readable): Promise<Uint8Array | undefined> {
  return new Promise((resolve, reject) => {
    const settle = (conclude: () => void) => {
      body.pause();
      body.off('data', take).off('end', end).off('close', end);
      conclude();
    };
    const take = (chunk: Uint8Array) => settle(() => resolve(chunk));
    const end = () =>
      settle(() => {
        if (body.readableEnded) resolve(undefined);
        else reject(body.errored ?? new Error('ended before its end'));
      });
    if (body.readableEnded || body.destroyed) return end();
    body.on('data', take).on('end', end).on('close', end);
    body.resume();
  });
}

/** Says that a chunk of a body, whole and for the first time, is not looked at any more: its memory is written over. */
export function returnChunk(chunk: Uint8Array): void {
  const slab = slabs.get(chunk.buffer);
  if (slab === undefined) return;
  slab.returned += chunk.length;
  keep(slab);
}

function takeSlab(free: Slab[]): Slab {
  const kept = free.pop();
  if (kept !== undefined) return Object.assign(kept, { used: 0, returned: 0, isFull: false });
  const slab = { data: Buffer.allocUnsafeSlow(SLAB_BYTES), used: 0, returned: 0, isFull: false, free };
  slabs.set(slab.data.buffer, slab);
  return slab;
}

/** One of which a part was not returned, such as a head, is left to the garbage collector. */
function keep(slab: Slab): void {
  if (slab.isFull && slab.returned === slab.used && slab.free.length < KEPT) slab.free.push(slab);
}
