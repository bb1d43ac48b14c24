import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** Feeds a command its input, to the end, no faster than it reads. A command that ends before has had enough. */
export function pipeInput(input: string | Uint8Array | Readable, stdin: Writable): void {
  const source =
    input instanceof Readable ? input : Readable.from([Buffer.from(input as string)], { objectMode: false });
  pipeline(source, stdin).catch((error: unknown) => {
    // The command sees an end of input; the caller's own stream tells its caller what failed.
    stdin.destroy(error as Error);
  });
}
