import { StringDecoder } from 'node:string_decoder';

/** Turns bytes into text for a listener, never splitting a character that came in two chunks. */
export function createTextListener(listener: (text: string) => void) {
  const decoder = new StringDecoder('utf8');
  const pass = (text: string) => {
    if (text !== '') listener(text);
  };
  return {
    write: (chunk: Uint8Array) => pass(decoder.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))),
    end: () => pass(decoder.end()),
  };
}
