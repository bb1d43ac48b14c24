import { readWireName } from '../../policy/allow.js';
import { MAX_RECORDS } from './limits.js';

/** What the first bytes of a connection are; without a name the client has sent none. */
export type Hello = { state: 'more' } | { state: 'bad'; reason: string } | { state: 'hello'; name?: string };

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
/** Of a record (RFC 8446, section 5.1). */
const MAX_RECORD = 16_384;
const SERVER_NAME = 0;
const HOST_NAME = 0;

/** Why bytes are no ClientHello. */
class Malformed extends Error {}

/** Whether these can be the first bytes of TLS. */
export function isTls(bytes: Buffer): boolean {
  return bytes[0] === HANDSHAKE;
}

/** Reads the name that a client wants to speak to (RFC 6066, section 3) from all bytes that it has sent until now. */
export function readClientHello(bytes: Buffer): Hello {
  try {
    const hello = joinRecords(bytes);
    return hello === undefined ? { state: 'more' } : { state: 'hello', ...findName(new Cursor(hello)) };
  } catch (error) {
    if (error instanceof Malformed) return { state: 'bad', reason: error.message };
    throw error;
  }
}

/** The body of the first message, which may be spread over records; undefined as long as it is not complete. */
function joinRecords(bytes: Buffer): Buffer | undefined {
  const pieces: Buffer[] = [];
  let length = 0;
  for (let at = 0; at < bytes.length; ) {
    if (bytes[at] !== HANDSHAKE) throw new Malformed('no handshake of TLS');
    if (at + 1 < bytes.length && bytes[at + 1] !== 3) throw new Malformed('no version of TLS');
    if (at + 5 > bytes.length) return undefined;
    const size = bytes.readUInt16BE(at + 3);
    if (size === 0 || size > MAX_RECORD) throw new Malformed('a record of no length that TLS has');
    const piece = bytes.subarray(at + 5, at + 5 + size);
    if (pieces.length === 0 && piece.length > 0 && piece[0] !== CLIENT_HELLO) throw new Malformed('no ClientHello');
    if (pieces.push(piece) > MAX_RECORDS) throw new Malformed('a ClientHello in too many pieces');
    length += piece.length;
    at += 5 + size;
    const end = length < 4 ? Number.POSITIVE_INFINITY : 4 + Buffer.concat(pieces, 4).readUIntBE(1, 3);
    if (length >= end) return Buffer.concat(pieces).subarray(4, end);
  }
  return undefined;
}

/** RFC 8446, section 4.1.2. */
function findName(hello: Cursor): { name?: string } {
  hello.take(2 + 32);
  hello.takeVector(1);
  hello.takeVector(2);
  hello.takeVector(1);
  if (hello.isAtEnd) return {};
  const extensions = new Cursor(hello.takeVector(2));
  const names: string[] = [];
  while (!extensions.isAtEnd) {
    const type = extensions.takeNumber(2);
    const content = extensions.takeVector(2);
    if (type === SERVER_NAME) names.push(readServerName(new Cursor(content)));
  }
  // Who reads the last of them would speak to another host than who reads the first.
  if (names.length > 1) throw new Malformed('more than one name');
  return names[0] === undefined ? {} : { name: names[0] };
}

function readServerName(extension: Cursor): string {
  const list = new Cursor(extension.takeVector(2));
  if (list.takeNumber(1) !== HOST_NAME) throw new Malformed('a name of no known kind');
  const text = list.takeVector(2).toString('latin1');
  if (!list.isAtEnd || !extension.isAtEnd) throw new Malformed('more than one name');
  const name = readWireName(text);
  if (name === undefined) throw new Malformed('a name that no host can have');
  return name;
}

/** Reads from the front. */
class Cursor {
  #rest: Buffer;

  constructor(bytes: Buffer) {
    this.#rest = bytes;
  }

  get isAtEnd(): boolean {
    return this.#rest.length === 0;
  }

  take(length: number): Buffer {
    if (length > this.#rest.length) throw new Malformed('a length beyond the end');
    const taken = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return taken;
  }

  takeNumber(size: number): number {
    return this.take(size).readUIntBE(0, size);
  }

  /** What is preceded by its length, of so many bytes. */
  takeVector(size: number): Buffer {
    return this.take(this.takeNumber(size));
  }
}
