import { setTimeout as sleep } from 'node:timers/promises';
import { Client, credentials, type CallOptions as GrpcCallOptions, Metadata, status } from '@grpc/grpc-js';
import { createInputError, DriverError } from '../core/error.js';
import { isWireError, translateError, wasNeverSent } from './errors.js';
import type { BidiMethod, Complete, ServerStreamMethod, UnaryMethod } from './method.js';
import { Duplex, ServerStream } from './stream.js';
import { UploadCall } from './upload-call.js';

const MESSAGE_BYTES = 16 * 1024 * 1024;
/** The default of `ChannelOptions.callTimeoutMs`. */
export const CALL_TIMEOUT_MS = 10_000;
const RETRY_PAUSE_MS = { first: 25, most: 250 };

export interface ChannelOptions {
  /** Absolute path of containerd's socket, or the same as a `unix://` URI. */
  address: string;
  /** containerd namespace sent with every call. */
  namespace: string;
  /** Ms until a call that names no deadline is given up, retries included. Defaults to 10,000. */
  callTimeoutMs?: number;
}

export interface CallOptions {
  signal?: AbortSignal | undefined;
  /** Ms until the call is given up, retries included; null waits for ever. Defaults to the channel's `callTimeoutMs`. */
  deadlineMs?: number | null;
  /**
   * The call may be repeated when the daemon went away under it. Defaults to true for calls that only read.
   * A call that never left this process is repeated in any case.
   */
  idempotent?: boolean;
  /** For how long such a repeat is tried, in ms. Defaults to half of the channel's `callTimeoutMs`: a daemon restarts in two seconds. */
  retryMs?: number;
}

const reads =
  /\/(Get|List|ListPids|Stat|Mounts|Info|Status|ListStatuses|ListResources|Version|Plugins|Server|Check|Metrics|Usage|Wait)$/;

/**
 * One connection to containerd, and the only place that speaks gRPC. Every service is called through the same few
 * verbs, with a method definition as the value: `channel.unary(TasksService.start, { containerId, execId: '' })`.
 */
export class Channel {
  readonly address: string;
  readonly namespace: string;
  readonly callTimeoutMs: number;
  readonly #client: Client;
  readonly #metadata = new Metadata();
  readonly #uploads: Set<UploadCall>;

  constructor(
    { address, namespace, callTimeoutMs = CALL_TIMEOUT_MS }: ChannelOptions,
    shared?: { client: Client; uploads: Set<UploadCall>; lease: string },
  ) {
    this.address = parseAddress(address);
    this.namespace = namespace;
    this.callTimeoutMs = callTimeoutMs;
    // Keepalive stays off: containerd answers frequent pings with GOAWAY. The short backoff makes a restarted daemon
    // answer within about 50 ms; grpc-js waits seconds by default.
    this.#client =
      shared?.client ??
      new Client(`unix://${this.address}`, credentials.createInsecure(), {
        'grpc.max_receive_message_length': MESSAGE_BYTES,
        'grpc.max_send_message_length': MESSAGE_BYTES,
        'grpc.initial_reconnect_backoff_ms': 50,
        'grpc.max_reconnect_backoff_ms': 500,
        'grpc.use_local_subchannel_pool': 1,
        'grpc.enable_retries': 0,
      });
    this.#uploads = shared?.uploads ?? new Set();
    this.#metadata.set('containerd-namespace', namespace);
    if (shared !== undefined) this.#metadata.set('containerd-lease', shared.lease);
  }

  /** The same connection, with everything that it creates held by the lease. An unknown lease fails the first write. */
  withLease(lease: string): Channel {
    return new Channel(this, { client: this.#client, uploads: this.#uploads, lease });
  }

  /** One request, one response. Rejects with DriverError only. */
  async unary<Req, Res>(
    method: UnaryMethod<Req, Res>,
    request: Complete<NoInfer<Req>>,
    options: CallOptions = {},
  ): Promise<Res> {
    const {
      deadlineMs = this.callTimeoutMs,
      idempotent = reads.test(method.path),
      retryMs = this.callTimeoutMs / 2,
      signal,
    } = options;
    const operation = describeMethod(method.path);
    const started = Date.now();
    const deadline = deadlineMs === null ? undefined : started + deadlineMs;
    const retryUntil = Math.min(started + retryMs, deadline ?? Number.POSITIVE_INFINITY);
    for (let pause = RETRY_PAUSE_MS.first; ; pause = Math.min(pause * 2, RETRY_PAUSE_MS.most)) {
      try {
        return await this.#send(method, request as Req, { signal, deadline });
      } catch (error) {
        const mayRepeat =
          wasNeverSent(error) || (idempotent && isWireError(error) && error.code === status.UNAVAILABLE);
        if (mayRepeat && Date.now() + pause < retryUntil && !signal?.aborted) {
          await sleep(pause);
          continue;
        }
        if (signal?.aborted)
          throw new DriverError('canceled', `${operation}: canceled`, { operation, cause: signal.reason });
        if (deadline !== undefined && Date.now() >= deadline) {
          throw new DriverError('deadline-exceeded', `${operation}: no answer in ${deadlineMs} ms`, {
            operation,
            cause: error,
          });
        }
        throw translateError(error, operation);
      }
    }
  }

  #send<Req, Res>(
    method: UnaryMethod<Req, Res>,
    request: Req,
    { signal, deadline }: { signal: AbortSignal | undefined; deadline: number | undefined },
  ): Promise<Res> {
    signal?.throwIfAborted();
    const callOptions: GrpcCallOptions = deadline === undefined ? {} : { deadline };
    const { path, requestSerialize, responseDeserialize } = method;
    return new Promise<Res>((resolve, reject) => {
      const call = this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        this.#metadata,
        callOptions,
        (error, response) => {
          signal?.removeEventListener('abort', cancel);
          if (error === null) resolve(response as Res);
          else reject(error);
        },
      );
      const cancel = () => call.cancel();
      signal?.addEventListener('abort', cancel, { once: true });
    });
  }

  /** One request, many responses. The call is under way when this returns, so listening starts before acting. */
  serverStream<Req, Res>(
    method: ServerStreamMethod<Req, Res>,
    request: Complete<NoInfer<Req>>,
    { signal }: { signal?: AbortSignal | undefined } = {},
  ): ServerStream<Res> {
    const { path, requestSerialize, responseDeserialize } = method;
    const call = this.#client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request as Req,
      this.#metadata,
    );
    return new ServerStream(call, describeMethod(path), signal);
  }

  /** Many requests, many responses. */
  duplex<Req, Res>(
    method: BidiMethod<Req, Res>,
    { signal }: { signal?: AbortSignal | undefined } = {},
  ): Duplex<Req, Res> {
    const { path, requestSerialize, responseDeserialize } = method;
    const call = this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, this.#metadata);
    return new Duplex(call, describeMethod(path), signal);
  }

  /** Many large requests, encoded already, many responses: over a connection of its own, so that nothing waits behind it. */
  upload<Res>(
    method: Pick<BidiMethod<never, Res>, 'path' | 'responseDeserialize'>,
    { signal }: { signal?: AbortSignal | undefined } = {},
  ): Duplex<Buffer, Res> {
    const call = new UploadCall({ address: this.address, metadata: this.#metadata, method });
    this.#uploads.add(call);
    call.once('close', () => this.#uploads.delete(call));
    return new Duplex(call, describeMethod(method.path), signal);
  }

  /** Ends the connection; calls under way fail with `canceled`. Channels made by `withLease` share it. */
  close(): void {
    this.#client.close();
    for (const call of this.#uploads) call.cancel();
  }
}

function parseAddress(address: string): string {
  const path = address.replace(/^unix:(\/\/)?/, '');
  // A longer path does not fit into sockaddr_un (unix(7)).
  if (path.startsWith('/') && !path.includes('\0') && Buffer.byteLength(path) <= 107) return path;
  throw createInputError('containerd address', [
    {
      path: 'address',
      value: address,
      expected: 'an absolute socket path of at most 107 bytes, or unix:// before one',
    },
  ]);
}

function describeMethod(path: string): string {
  const [service = '', method = ''] = path.split('/').slice(-2);
  return `${service.split('.').at(-1)}.${method}`;
}
