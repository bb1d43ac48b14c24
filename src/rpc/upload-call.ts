import { type ClientHttp2Stream, connect, type IncomingHttpHeaders } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { Duplex } from 'node:stream';
import { type Metadata, status } from '@grpc/grpc-js';

/** Before each message: whether it is compressed, and its length in 4 bytes (gRPC over HTTP/2, "Length-Prefixed-Message"). */
const PREFIX_BYTES = 5;

export interface UploadTarget {
  /** Path of the socket. */
  address: string;
  metadata: Metadata;
  method: { path: string; responseDeserialize: (message: Buffer) => unknown };
}

/**
 * A call whose requests are encoded already and large: over a connection of its own, and from the memory that they are in.
 * grpc-js copies each into new memory, whose collection took half of the client's CPU time in a pull. Fails as its calls
 * do, with `code` and `details`.
 */
export class UploadCall extends Duplex {
  readonly #stream: ClientHttp2Stream;
  readonly #close: () => void;
  readonly #deserialize: (message: Buffer) => unknown;
  #received: Buffer = Buffer.alloc(0);
  #outcome: { code: number; details: string } | undefined;

  constructor({ address, metadata, method }: UploadTarget) {
    super({ objectMode: true, writableHighWaterMark: 1 });
    this.#deserialize = method.responseDeserialize;
    const session = connect('http://localhost', { createConnection: () => connectSocket(address) });
    this.#close = () => session.destroy();
    session.on('error', (error) => this.#conclude(error));
    this.#stream = session.request({
      ...metadata.toHttp2Headers(),
      ':method': 'POST',
      ':path': method.path,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    this.#stream
      .on('response', (headers) => this.#note(headers))
      .on('trailers', (headers) => this.#note(headers))
      .on('data', (data: Buffer) => this.#receive(data))
      .on('end', () => this.#conclude())
      .on('error', (error) => this.#conclude(error))
      .on('close', () => this.#conclude());
  }

  cancel(): void {
    this.#fail(status.CANCELLED, 'canceled by the client');
  }

  override _write(message: Buffer, _encoding: string, done: () => void): void {
    const prefix = Buffer.alloc(PREFIX_BYTES);
    prefix.writeUInt32BE(message.length, 1);
    this.#stream.cork();
    this.#stream.write(prefix);
    // Why it fails is told by the end of the stream, which follows.
    this.#stream.write(message, (error) => error ?? done());
    this.#stream.uncork();
  }

  override _final(done: () => void): void {
    this.#stream.end(() => done());
  }

  /** The few and small responses come as they are. */
  override _read(): void {}

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#close();
    done(error);
  }

  #receive(data: Buffer): void {
    let rest = Buffer.concat([this.#received, data]);
    try {
      while (rest.length >= PREFIX_BYTES) {
        const end = PREFIX_BYTES + rest.readUInt32BE(1);
        if (rest.length < end) break;
        this.push(this.#deserialize(rest.subarray(PREFIX_BYTES, end)));
        rest = rest.subarray(end);
      }
    } catch (error) {
      this.#fail(status.INTERNAL, `unreadable response: ${String(error)}`);
    }
    this.#received = rest;
  }

  #note(headers: IncomingHttpHeaders): void {
    const { 'grpc-status': code, 'grpc-message': details = '' } = headers;
    if (code !== undefined) this.#outcome = { code: Number(code), details: decode(String(details)) };
  }

  /** What the server said counts, also when it then ends the stream in an unfriendly way. */
  #conclude(error = new Error('the connection ended')): void {
    // What was asked before there was a connection is told of the end of that by `cause`.
    const { message } = error.cause instanceof Error ? error.cause : error;
    const { code, details } = this.#outcome ?? { code: status.UNAVAILABLE, details: message };
    if (code === status.OK) this.push(null);
    else this.#fail(code, details);
  }

  #fail(code: number, details: string): void {
    this.destroy(Object.assign(new Error(details), { code, details }));
  }
}

/** gRPC over HTTP/2, "Percent-Encoded". */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
