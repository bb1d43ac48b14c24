import { DriverError } from '../core/error.js';
import { translateError } from './errors.js';

/** What is used of a call, of grpc-js or of ours. Its error comes once, to whoever listens then. */
interface ReadableCall extends AsyncIterable<unknown> {
  on(event: 'error', listener: (error: Error) => void): unknown;
  cancel(): void;
}

interface WritableCall<Req> extends ReadableCall {
  write(request: Req, done: () => void): unknown;
  end(): unknown;
}

/** Responses of one call. Leaving the loop, by any way, cancels the call; grpc-js alone would keep it open. */
export class ServerStream<Res> implements AsyncIterable<Res> {
  readonly #call: ReadableCall;
  readonly #operation: string;
  readonly #signal: AbortSignal | undefined;
  readonly #cancel = () => this.#linger();
  #failure: Error | undefined;
  #lingerMs = 0;
  #lingering: NodeJS.Timeout | undefined;

  constructor(call: ReadableCall, operation: string, signal?: AbortSignal) {
    this.#call = call;
    this.#operation = operation;
    this.#signal = signal;
    // Kept, so that a later reader is not told of a plain end.
    call.on('error', (error) => {
      this.#failure = error;
    });
    if (signal?.aborted) this.cancel();
    signal?.addEventListener('abort', this.#cancel, { once: true });
  }

  cancel(): void {
    this.#call.cancel();
    clearTimeout(this.#lingering);
    this.#signal?.removeEventListener('abort', this.#cancel);
  }

  /** From now on the signal leaves the call so many ms to be answered. */
  linger(ms: number): void {
    this.#lingerMs = ms;
  }

  #linger(): void {
    if (this.#lingerMs === 0) this.cancel();
    else this.#lingering = setTimeout(() => this.cancel(), this.#lingerMs);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Res, void, undefined> {
    try {
      for await (const response of this.#call) yield response as Res;
      if (this.#failure !== undefined) throw this.#failure;
    } catch (error) {
      throw describeFailure(error, this.#operation, this.#signal);
    } finally {
      this.cancel();
    }
  }
}

/** A call with requests and responses. `cancel` after use: an unfinished one keeps server-side locks held. */
export class Duplex<Req, Res> {
  readonly #call: WritableCall<Req>;
  readonly #responses: ServerStream<Res>;
  readonly #failed: Promise<never>;

  constructor(call: WritableCall<Req>, operation: string, signal?: AbortSignal) {
    this.#call = call;
    this.#responses = new ServerStream(call, operation, signal);
    this.#failed = new Promise((_, reject) => {
      call.on('error', (error) => reject(describeFailure(error, operation, signal)));
    });
    this.#failed.catch(() => undefined);
  }

  get responses(): AsyncIterable<Res> {
    return this.#responses;
  }

  /** Resolves when the message was taken over by the transport. After a failed call it rejects; it never hangs. */
  send(request: Req): Promise<void> {
    const taken = new Promise<void>((resolve) => {
      this.#call.write(request, () => resolve());
    });
    return Promise.race([taken, this.#failed]);
  }

  end(): void {
    this.#call.end();
  }

  cancel(): void {
    this.#responses.cancel();
  }

  /** From now on the signal leaves the call so many ms to be answered. */
  linger(ms: number): void {
    this.#responses.linger(ms);
  }
}

function describeFailure(error: unknown, operation: string, signal: AbortSignal | undefined): DriverError {
  if (!signal?.aborted) return translateError(error, operation);
  return new DriverError('canceled', `${operation}: canceled`, { operation, cause: signal.reason });
}
