import type { IncomingHttpHeaders } from 'node:http';
import { rootCertificates } from 'node:tls';
import type { Dispatcher } from 'undici';
import { DriverError } from '../../core/error.js';
import { createConnector, returnChunk, takeChunk } from './connector.js';
import { describeUrl, isLoopback, NO_TLS, type TlsSettings } from './endpoint.js';
import { TransientFailure } from './retry.js';

type Undici = typeof import('undici');

export interface HttpRequest {
  method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH';
  url: URL;
  headers: Record<string, string>;
  body?: Uint8Array | string | undefined;
  tls?: TlsSettings;
  connectTimeoutMs?: number;
  signal?: AbortSignal | undefined;
}

export interface HttpAnswer {
  /** Where it came from in the end. */
  url: URL;
  status: number;
  headers: Record<string, string>;
  body: Dispatcher.ResponseData['body'];
}

const REDIRECTS = 10;
const CONNECTIONS = 16;
/** Fewer bytes than these in the time of a stall are no progress. */
const LEAST_BYTES = 4096;
/** Sent to the host that they were meant for, and to no other. */
const ownHeaders = ['authorization', 'cookie', 'proxy-authorization'];

/** Requests over connections that are kept for one piece of work. `close` ends them, those under way included. */
export class HttpClient {
  readonly #stallTimeoutMs: number;
  readonly #plainHttp: readonly string[];
  readonly #dispatchers = new Map<string, Dispatcher>();

  constructor({ stallTimeoutMs, plainHttp }: { stallTimeoutMs: number; plainHttp: readonly string[] }) {
    this.#stallTimeoutMs = stallTimeoutMs;
    this.#plainHttp = plainHttp;
  }

  /**
   * Sends a request and follows redirects of one that only reads. Resolves with any status; the body must be read or
   * `dump`ed. Throws TransientFailure for what may pass: no connection, a broken one, no answer in time.
   */
  async send({ headers, tls = NO_TLS, connectTimeoutMs, ...rest }: HttpRequest): Promise<HttpAnswer> {
    const { method, body, signal } = rest;
    // Loaded here, as it is a third of what importing the package would take.
    const undici = await import('undici');
    const first = rest.url;
    const strange = Object.fromEntries(Object.entries(headers).filter(([name]) => !ownHeaders.includes(name)));
    for (let url = first, hops = 0; ; hops += 1) {
      // Own headers of an endpoint may be secrets as well, so that another host gets only what a plain client sends.
      const isOwn = url.origin === first.origin;
      const sent = isOwn ? headers : pickPlain(strange);
      const dispatcher = this.#getDispatcher(undici, url, isOwn ? tls : NO_TLS, connectTimeoutMs);
      try {
        const answer = await undici.request(url, {
          method,
          headers: sent,
          dispatcher,
          // One chunk at a time, as the connector has it.
          highWaterMark: 1,
          ...(body === undefined ? {} : { body }),
          ...(signal === undefined ? {} : { signal }),
        });
        const next = method === 'GET' || method === 'HEAD' ? readLocation(answer, url) : undefined;
        if (next === undefined) {
          return { url, status: answer.statusCode, headers: flatten(answer.headers), body: answer.body };
        }
        await answer.body.dump();
        this.#checkRedirect(url, next, hops);
        url = next;
      } catch (error) {
        throw describeNetworkFailure(error, `${method} ${describeUrl(url)}`, signal);
      }
    }
  }

  /**
   * The body's bytes, a chunk being valid until the next one is asked for. A break, a stop or a trickle of the stream is a
   * TransientFailure.
   */
  async *readBody({ body, url }: HttpAnswer, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
    const what = `reading ${describeUrl(url)}`;
    // It may fail while nobody is reading.
    body.on('error', () => undefined);
    let waited = 0;
    let bytes = 0;
    try {
      for (;;) {
        const started = performance.now();
        const value = await takeChunk(body);
        if (value === undefined) return;
        // Only the registry's time counts, not that of whoever takes the bytes.
        waited += performance.now() - started;
        bytes += value.length;
        if (waited > this.#stallTimeoutMs) {
          if (bytes < LEAST_BYTES) {
            const message = `${what}: ${bytes} bytes in ${Math.round(waited)} ms`;
            throw new TransientFailure(new DriverError('deadline-exceeded', message, { operation }));
          }
          waited = 0;
          bytes = 0;
        }
        yield value;
        returnChunk(value);
      }
    } catch (error) {
      throw describeNetworkFailure(error, what, signal);
    } finally {
      body.destroy();
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#dispatchers.values()].map((dispatcher) => dispatcher.destroy()));
  }

  #checkRedirect(from: URL, to: URL, hops: number): void {
    const refuse = (reason: string) =>
      new DriverError('failed-precondition', `${describeUrl(from)} redirects ${reason}`, { operation });
    if (hops >= REDIRECTS) throw refuse(`more than ${REDIRECTS} times`);
    if (to.protocol === 'https:') return;
    const isAllowed = from.protocol === 'http:' && (isLoopback(to.host) || this.#plainHttp.includes(to.host));
    if (to.protocol !== 'http:' || !(isAllowed || to.origin === from.origin)) {
      throw refuse(`to ${to.origin}, which is not reached over TLS`);
    }
  }

  #getDispatcher(undici: Undici, url: URL, tls: TlsSettings, connectTimeoutMs = 30_000): Dispatcher {
    const { Agent, EnvHttpProxyAgent } = undici;
    // As Go's programs do: a proxy of the environment is never asked for what is on this machine.
    const isLocal = isLoopback(url.host);
    const key = JSON.stringify([isLocal, tls, connectTimeoutMs]);
    let dispatcher = this.#dispatchers.get(key);
    if (dispatcher === undefined) {
      const requestTls = { ...describeTls(tls), timeout: connectTimeoutMs };
      const connect = createConnector(undici, requestTls);
      const stall = this.#stallTimeoutMs;
      const options = { connections: CONNECTIONS, headersTimeout: stall, bodyTimeout: stall, connect };
      dispatcher = isLocal ? new Agent(options) : new EnvHttpProxyAgent({ ...options, requestTls });
      this.#dispatchers.set(key, dispatcher);
    }
    return dispatcher;
  }
}

const operation = 'ask registry';

function describeTls({ ca, certificates, skipVerify }: TlsSettings) {
  return {
    ...(ca.length === 0 ? {} : { ca: [...rootCertificates, ...ca] }),
    ...(certificates.length === 0
      ? {}
      : { cert: certificates.map(({ cert }) => cert), key: certificates.map(({ key }) => key) }),
    rejectUnauthorized: !skipVerify,
  };
}

/** What another host than the one that was asked may see. */
function pickPlain(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    ['accept', 'accept-encoding', 'range', 'user-agent'].flatMap((name) => {
      const value = headers[name];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}

function flatten(headers: IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, Array.isArray(value) ? value.join(', ') : value]],
    ),
  );
}

function readLocation({ statusCode, headers }: Dispatcher.ResponseData, url: URL): URL | undefined {
  const { location } = headers;
  if (![301, 302, 303, 307, 308].includes(statusCode) || typeof location !== 'string') return undefined;
  if (URL.canParse(location, url.href)) return new URL(location, url);
  throw new DriverError('failed-precondition', `${describeUrl(url)} redirects to something that is no URL`, {
    operation,
  });
}

const distrust =
  /^(CERT_|UNABLE_TO_|DEPTH_ZERO_SELF_SIGNED|SELF_SIGNED|ERR_TLS_CERT|INVALID_CA|HOSTNAME_MISMATCH|ERR_TLS_|ERR_SSL_|EPROTO)/;

function describeNetworkFailure(error: unknown, what: string, signal: AbortSignal | undefined): Error {
  if (signal?.aborted) return new DriverError('canceled', `${what}: canceled`, { operation, cause: signal.reason });
  if (error instanceof DriverError || error instanceof TransientFailure) return error;
  const { code = '', message } = readCause(error);
  if (distrust.test(code)) {
    return new DriverError('failed-precondition', `${what}: no TLS that is trusted: ${code}`, {
      operation,
      cause: error,
    });
  }
  if (code === 'ENOTFOUND') {
    return new DriverError('unavailable', `${what}: no such host`, { operation, cause: error });
  }
  const isLate = /TIMEOUT|TIMEDOUT/.test(code);
  const reason = code === '' ? message : `${code} (${message})`;
  const failure = new DriverError(isLate ? 'deadline-exceeded' : 'unavailable', `${what}: ${reason}`, {
    operation,
    cause: error,
  });
  return new TransientFailure(failure);
}

/** Several addresses that all fail are one error without a code around the others. */
function readCause(error: unknown): { code?: string; message: string } {
  if (!(error instanceof Error)) return { message: String(error) };
  const { code, message, errors } = error as NodeJS.ErrnoException & { errors?: unknown[] };
  const [inner] = errors ?? [];
  if (code === undefined && inner !== undefined) return readCause(inner);
  return { ...(code === undefined ? {} : { code }), message };
}

/** True when what answered does not speak TLS. */
export function isWithoutTls(error: unknown): boolean {
  return (
    error instanceof DriverError &&
    /^(EPROTO|ERR_SSL_WRONG_VERSION|ERR_SSL_PACKET)/.test(readCause(error.cause).code ?? '')
  );
}
