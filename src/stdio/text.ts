import { StringDecoder } from 'node:string_decoder';

/** V8 gives a string of 128 KiB memory of its own from the kernel and back again: six times the CPU time for each byte. */
const PIECE_BYTES = 64 * 1024;

/** Turns bytes into text for a listener, in pieces, never splitting a character that came in two chunks. */
export function createTextListener(listener: (text: string) => void) {
  const decoder = new StringDecoder('utf8');
  const pass = (text: string) => {
    if (text !== '') listener(text);
  };
  return {
    write: (chunk: Uint8Array) => {
      const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
      for (let at = 0; at < bytes.length; at += PIECE_BYTES) pass(decoder.write(bytes.subarray(at, at + PIECE_BYTES)));
    },
    end: () => pass(decoder.end()),
  };
}
