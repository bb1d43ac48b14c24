import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/**
 * Feeds a command its input, to the end, no faster than it reads. A command that ends before, or closes its stdin, has
 * had enough; rejects when the source fails.
 */
export async function pipeInput(input: string | Uint8Array | Readable, stdin: Writable): Promise<void> {
  const source = input instanceof Readable ? input : Readable.from([Buffer.from(input as string)]);
  let isEnough: boolean | undefined;
  // Before the pipeline: when one end fails it destroys the other with the same error.
  const notice = () => {
    isEnough ??= !source.destroyed || source.readableEnded;
  };
  stdin.prependListener('error', notice).prependListener('close', notice);
  try {
    await pipeline(source, stdin);
  } catch (error) {
    if (!isEnough) throw error;
  }
}
