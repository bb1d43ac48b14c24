import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { DriverError, hasCode } from '../../core/error.js';
import { FrameReader } from './frames.js';
import { answer, encodeFrame, encodeHeader, encodeHello, MAGIC, MAX_DATA, VERSION } from './protocol.js';

const CHUNK_BYTES = 256 * 1024;
/** A payload of less is copied behind its header, one of more goes to the kernel beside it. */
const COPY_BYTES = 4096;
/** The supervisor answers from its loop; only a frozen session keeps it from that. */
const WELCOME_MS = 10_000;

/** One for all links: what is read is handled before the next read. */
let readBuffer: Buffer | undefined;

/** Who is told of one command. */
export interface Subscriber {
  /** Valid during the call alone. */
  data(source: 0 | 1, piece: Uint8Array): void;
  frame(type: number, payload: Buffer): void;
  /** The supervisor is gone (`not-found`), cannot be understood any more (`data-loss`), or was cut off (`aborted`). */
  lost(error: DriverError): void;
}

/** A connection to the supervisor of one session, shared by all commands that this process runs in it. */
export class Link {
  readonly #socket: Socket;
  readonly #hasEnded: () => boolean;
  readonly #subscribers = new Map<number, Subscriber>();
  /** Aborted when it has ended. */
  readonly closed: AbortSignal;
  #next = 1;
  #window = 0;
  /** Frames that go together: what many commands say at once costs one write, and wakes the supervisor once. */
  #waiting: Buffer[] = [];
  #isDue = false;
  #failure: DriverError | undefined;

  private constructor(path: string, hasEnded: () => boolean) {
    this.#hasEnded = hasEnded;
    readBuffer ??= Buffer.allocUnsafeSlow(CHUNK_BYTES);
    const reader = new FrameReader({
      data: (stream, source, piece) => this.#subscribers.get(stream)?.data(source, piece),
      frame: (type, stream, payload) => this.#subscribers.get(stream)?.frame(type, payload),
    });
    const callback = (bytes: number, buffer: Uint8Array) => {
      try {
        reader.push(buffer.subarray(0, bytes));
      } catch (error) {
        this.#socket.destroy(error as Error);
      }
      return true;
    };
    this.#socket = createConnection({ path, onread: { buffer: readBuffer, callback } });
    this.#socket.on('error', (error) => this.#fail(error));
    const over = new AbortController();
    this.closed = over.signal;
    this.#socket.on('close', () => {
      this.#fail(new Error('the connection has ended'));
      over.abort();
    });
  }

  /**
   * Rejects with `unavailable` when there is no supervisor at the path, or it does not answer. `hasEnded` is for one that
   * is behind something else: whether the end of the connection was its own.
   */
  static async open(path: string, hasEnded = () => true): Promise<Link> {
    const link = new Link(path, hasEnded);
    try {
      await once(link.#socket, 'connect', { signal: AbortSignal.timeout(WELCOME_MS) });
      await link.#greet();
      return link;
    } catch (cause) {
      link.close();
      throw new DriverError('unavailable', `no supervisor answers at ${path}`, { operation: 'supervisor', cause });
    }
  }

  get isOpen(): boolean {
    return this.#failure === undefined;
  }

  /** Bytes of input that a command takes before it has read any. */
  get window(): number {
    return this.#window;
  }

  /** Commands are numbered from 1; 0 is the session itself. */
  subscribe(subscriber: Subscriber, stream = this.#next++): number {
    if (this.#failure !== undefined) throw this.#failure;
    this.#subscribers.set(stream, subscriber);
    this.#socket.ref();
    return stream;
  }

  /** Nobody is told of it any more. A link that nobody listens to keeps no program from its end. */
  unsubscribe(stream: number): void {
    this.#subscribers.delete(stream);
    if (this.#subscribers.size === 0) this.#socket.unref();
  }

  send(type: number, stream: number, payload?: Uint8Array): void {
    this.#waiting.push(encodeFrame(type, stream, payload));
    if (this.#isDue) return;
    // After all that those who were told something now have to say to it.
    this.#isDue = true;
    process.nextTick(() => this.#flush());
  }

  /** In as many frames as it takes, which go to the kernel together; `done` when it has them. */
  sendData(type: number, stream: number, data: Uint8Array, done: () => void): void {
    this.#flush();
    if (data.length < COPY_BYTES) {
      this.#socket.write(encodeFrame(type, stream, data), done);
      return;
    }
    this.#socket.cork();
    for (let at = 0; at < data.length; at += MAX_DATA) {
      const piece = data.subarray(at, at + MAX_DATA);
      this.#socket.write(encodeHeader(type, stream, piece.length));
      this.#socket.write(piece, at + MAX_DATA < data.length ? undefined : done);
    }
    this.#socket.uncork();
  }

  /** What nobody waits for: it goes with what comes next, or as soon as this process has nothing else to do. */
  sendLater(type: number, stream: number): void {
    if (this.#waiting.push(encodeFrame(type, stream)) === 1) setImmediate(() => this.#flush());
  }

  close(): void {
    this.#flush();
    this.#socket.destroy();
  }

  #flush(): void {
    this.#isDue = false;
    const frames = this.#waiting.splice(0);
    if (frames.length > 0 && this.isOpen)
      this.#socket.write(frames.length === 1 ? (frames[0] as Buffer) : Buffer.concat(frames));
  }

  async #greet(): Promise<void> {
    const answered = new Promise<Buffer>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer in ${WELCOME_MS} ms`)), WELCOME_MS);
      const settle = (act: () => void) => {
        clearTimeout(timer);
        act();
      };
      const frame = (type: number, payload: Buffer) =>
        settle(() => (type === answer.welcome ? resolve(payload) : reject(new Error(`frame ${type}, no welcome`))));
      this.subscribe({ data: () => undefined, frame, lost: (error) => settle(() => reject(error)) }, 0);
    });
    this.#socket.write(encodeHello());
    const welcome = await answered.finally(() => this.unsubscribe(0));
    const [magic, version] = [welcome.readUInt32LE(0), welcome.readUInt16LE(4)];
    if (magic !== MAGIC || version !== VERSION) throw new Error(`it speaks version ${version}, not ${VERSION}`);
    this.#window = welcome.readUInt32LE(8);
  }

  /** Asks the supervisor itself; resolves with its answers, up to the last. */
  ask(type: number, isLast: (type: number) => boolean): Promise<{ type: number; payload: Buffer }[]> {
    return new Promise((resolve, reject) => {
      const answers: { type: number; payload: Buffer }[] = [];
      const frame = (kind: number, payload: Buffer) => {
        answers.push({ type: kind, payload });
        if (!isLast(kind)) return;
        this.unsubscribe(stream);
        resolve(answers);
      };
      const stream = this.subscribe({ data: () => undefined, frame, lost: reject });
      this.send(type, stream);
    });
  }

  #fail(cause: Error): void {
    if (this.#failure !== undefined) return;
    const isCut = !this.#hasEnded();
    const code = hasCode(cause, 'data-loss') ? 'data-loss' : isCut ? 'aborted' : 'not-found';
    const what = isCut ? "the connection to the session's supervisor was cut" : "the session's supervisor is gone";
    this.#failure = new DriverError(code, `${what}: ${cause.message}`, {
      operation: 'supervisor',
      cause,
    });
    for (const subscriber of [...this.#subscribers.values()]) subscriber.lost(this.#failure);
    this.#subscribers.clear();
  }
}
