import { createHash } from 'node:crypto';
import { addSuppressed, DriverError, hasCode } from '../../core/error.js';
import { DOCUMENT_BYTES } from '../content.js';
import type { TypedBlob } from '../document.js';
import { MANIFEST_TYPES } from '../media-type.js';
import { formatReference, type Reference } from '../reference.js';
import { checkStatus, readAnswer, readExtent, readMediaType } from './answer.js';
import { Authorizer } from './authorizer.js';
import { type Capability, describeUrl, type Endpoint, isCommon } from './endpoint.js';
import { readEndpoints } from './hosts.js';
import { type HttpAnswer, HttpClient, type HttpRequest, isWithoutTls } from './http.js';
import { type RegistryOptions, type ResolvedRegistryOptions, resolveRegistryOptions } from './options.js';
import { Attempts, retry } from './retry.js';

/** What moved since the last failure to count as progress, in bytes. */
const PROGRESS_BYTES = 1024 * 1024;
const operation = 'ask registry';

export interface Host {
  endpoint: Endpoint;
  authorizer: Authorizer;
}

export interface ManifestDocument extends TypedBlob {
  data: Buffer;
}

export type RepositoryRequest = Pick<HttpRequest, 'method' | 'body' | 'signal'> & {
  /** Within the repository, `manifests/1`, or what the registry gave as the location of an upload. */
  path: string | URL;
  headers?: Record<string, string>;
  /** Of the token. Defaults to the repository's, to pull. */
  scope?: string;
};

/** One repository of a registry, reached through its mirrors. To be closed after use. */
export class Repository {
  readonly registry: string;
  readonly name: string;
  readonly options: ResolvedRegistryOptions;
  readonly #http: HttpClient;
  #hosts: Promise<Host[]> | undefined;

  constructor({ registry, repository }: Reference, options: RegistryOptions = {}) {
    this.registry = registry;
    this.name = repository;
    this.options = resolveRegistryOptions(options);
    this.#http = new HttpClient(this.options);
  }

  close(): Promise<void> {
    return this.#http.close();
  }

  /** Reads a manifest or an index by tag or digest. What is read by digest has that digest, or `data-loss`. */
  getManifest(wanted: string, signal?: AbortSignal): Promise<ManifestDocument> {
    const isDigest = wanted.includes(':');
    const subject = isDigest ? `${this.registry}/${this.name}@${wanted}` : this.#describe({ tag: wanted });
    return this.#tryHosts(isDigest ? 'pull' : 'resolve', signal, async (host) => {
      const headers = { accept: [...MANIFEST_TYPES, '*/*'].join(', ') };
      const answer = await this.send(host, { method: 'GET', path: `manifests/${wanted}`, headers, signal });
      await checkStatus(answer, subject);
      const data = await readAnswer(this.#http, answer, { limit: DOCUMENT_BYTES, signal });
      const digest = `sha256:${createHash('sha256').update(data).digest('hex')}`;
      const said = isDigest ? wanted : (answer.headers['docker-content-digest'] ?? digest);
      if (said.startsWith('sha256:') && said !== digest) {
        const message = `${subject}: what ${answer.url.host} sent has the digest ${digest}, not ${said}`;
        throw new DriverError('data-loss', message, { operation });
      }
      return { mediaType: readMediaType(answer, data, subject), digest, size: data.length, data };
    });
  }

  /**
   * The bytes of a blob from `offset` on. A connection that breaks is made again from where it was, also at the next
   * mirror. Whether the bytes have the digest is for the content store to say; here they have the size, or `data-loss`.
   * A chunk is valid until the next one is asked for.
   */
  async *readBlob({ digest, size }: TypedBlob, offset: number, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const hosts = (await this.#getHosts(signal)).filter(({ endpoint }) => endpoint.capabilities.includes('pull'));
    const failures: unknown[] = [];
    let at = offset;
    for (const [i, host] of hosts.entries()) {
      const attempts = new Attempts({ retries: this.#countRetries(hosts, i), signal });
      try {
        for (let started = at; at < size || size === 0; started = at) {
          try {
            for await (const chunk of this.#readRange(host, { digest, size }, at, signal)) {
              at += chunk.length;
              yield chunk;
            }
            return;
          } catch (error) {
            if (at - started >= PROGRESS_BYTES) attempts.reset();
            await attempts.bear(error);
          }
        }
        return;
      } catch (error) {
        if (hasCode(error, 'canceled') || i === hosts.length - 1) throw addSuppressed(error, failures);
        failures.push(error);
      }
    }
    throw this.#refuseCapability('pull');
  }

  async *#readRange(
    host: Host,
    { digest, size }: { digest: string; size: number },
    offset: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Uint8Array> {
    const subject = `blob ${digest} of ${this.registry}/${this.name}`;
    // Without compression on the way: an offset counts the bytes of the blob.
    const headers = { 'accept-encoding': 'identity', ...(offset > 0 ? { range: `bytes=${offset}-` } : {}) };
    const answer = await this.send(host, { method: 'GET', path: `blobs/${digest}`, headers, signal });
    await checkStatus(answer, subject, offset > 0 ? [200, 206] : [200]);
    const { start, total } = readExtent(answer);
    if ((total !== undefined && total !== size) || start > offset) {
      await answer.body.dump();
      const message = `${subject} has ${total} bytes at ${answer.url.host}, not ${size}`;
      throw new DriverError('data-loss', message, { operation });
    }
    let skip = offset - start;
    let at = start;
    for await (const chunk of this.#http.readBody(answer, signal)) {
      at += chunk.length;
      if (at > size) throw new DriverError('data-loss', `${subject} has more than ${size} bytes`, { operation });
      const rest = chunk.subarray(Math.min(skip, chunk.length));
      skip -= chunk.length - rest.length;
      if (rest.length > 0) yield rest;
    }
    if (at < size) throw new DriverError('data-loss', `${subject} has ${at} of ${size} bytes`, { operation });
  }

  /** Asks the hosts that can do something one after the other, until one has an answer. */
  async #tryHosts<T>(
    capability: Capability,
    signal: AbortSignal | undefined,
    act: (host: Host) => Promise<T>,
  ): Promise<T> {
    const all = await this.#getHosts(signal);
    const hosts = all.filter(({ endpoint }) => endpoint.capabilities.includes(capability));
    const failures: unknown[] = [];
    for (const [i, host] of hosts.entries()) {
      try {
        return await retry(() => act(host), { retries: this.#countRetries(hosts, i), signal });
      } catch (error) {
        if (hasCode(error, 'canceled') || i === hosts.length - 1) throw addSuppressed(error, failures);
        failures.push(error);
      }
    }
    throw this.#refuseCapability(capability);
  }

  /** Runs `act`, with retries, against the first host that takes pushes. */
  push<T>(signal: AbortSignal | undefined, act: (host: Host) => Promise<T>): Promise<T> {
    return this.#tryHosts('push', signal, act);
  }

  /** Where there is another host to turn to, this one gets one more chance only. */
  #countRetries(hosts: readonly Host[], i: number): number {
    return i === hosts.length - 1 ? this.options.retries : Math.min(1, this.options.retries);
  }

  /** One request, with what the host wants to be shown. Resolves with any status. */
  async send(host: Host, request: RepositoryRequest): Promise<HttpAnswer> {
    const { endpoint, authorizer } = host;
    const { base, tls, connectTimeoutMs } = endpoint;
    const { path, headers = {}, scope = `repository:${this.name}:pull`, ...rest } = request;
    const url = path instanceof URL ? path : new URL(`${describeUrl(base)}/${this.name}/${path}`);
    const isOwn = url.origin === base.origin;
    if (isOwn && this.#isMirror(endpoint)) url.searchParams.set('ns', this.registry);
    for (let tries = 0; ; tries += 1) {
      const authorization = isOwn ? await authorizer.getHeader(scope, rest.signal) : undefined;
      const answer = await this.#http.send({
        ...rest,
        url,
        headers: {
          'user-agent': 'cadre-containerd',
          ...(isOwn ? endpoint.headers : {}),
          ...headers,
          ...(authorization === undefined ? {} : { authorization }),
        },
        ...(isOwn ? { tls } : {}),
        connectTimeoutMs,
      });
      const isAsked = answer.status === 401 && isOwn && url.origin === answer.url.origin && tries < 2;
      if (!isAsked || !authorizer.learn(answer.headers['www-authenticate'], scope)) return answer;
      await answer.body.dump();
    }
  }

  /** The scheme by which anyone is served as we are: without mirrors, credentials and the like. Undefined where nobody is. */
  async findCommonScheme(signal?: AbortSignal): Promise<string | undefined> {
    const [host, ...others] = await this.#getHosts(signal);
    if (host === undefined || others.length > 0 || this.#isMirror(host.endpoint)) return undefined;
    const isOpen = isCommon(host.endpoint) && (await host.authorizer.isAnonymous());
    return isOpen ? host.endpoint.base.protocol.slice(0, -1) : undefined;
  }

  #isMirror({ base }: Endpoint): boolean {
    return base.host !== this.registry && !(base.host === 'registry-1.docker.io' && this.registry === 'docker.io');
  }

  #getHosts(signal: AbortSignal | undefined): Promise<Host[]> {
    this.#hosts ??= this.#openHosts(signal).catch((error: unknown) => {
      this.#hosts = undefined;
      throw error;
    });
    return this.#hosts;
  }

  async #openHosts(signal: AbortSignal | undefined): Promise<Host[]> {
    const endpoints = await readEndpoints(this.registry, this.options);
    const hosts: Host[] = [];
    for (const guess of endpoints) {
      const endpoint = guess.isGuess ? await this.#decideScheme(guess, signal) : guess;
      hosts.push({ endpoint, authorizer: new Authorizer(this.#http, endpoint, this.options) });
    }
    return hosts;
  }

  /** A registry on this machine that nothing is configured for: TLS if it speaks it, else without. */
  async #decideScheme(endpoint: Endpoint, signal: AbortSignal | undefined): Promise<Endpoint> {
    const { base: url, connectTimeoutMs } = endpoint;
    const ask = async () => {
      const answer = await this.#http.send({ method: 'GET', url, headers: {}, connectTimeoutMs, signal });
      await answer.body.dump();
      return endpoint;
    };
    try {
      return await retry(ask, { retries: this.options.retries, signal });
    } catch (error) {
      if (!isWithoutTls(error)) throw error;
      const base = new URL(url);
      base.protocol = 'http:';
      return { ...endpoint, base };
    }
  }

  #describe({ tag }: { tag: string }): string {
    return formatReference({ registry: this.registry, repository: this.name, tag });
  }

  #refuseCapability(capability: Capability): DriverError {
    const message = `no host of registry ${this.registry} is configured with the capability "${capability}"`;
    return new DriverError('failed-precondition', message, { operation });
  }
}
