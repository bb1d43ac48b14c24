import { DriverError } from '../../core/error.js';
import { checkStatus, readAnswer } from './answer.js';
import { type Challenge, parseChallenges } from './challenge.js';
import { type Credentials, findCredentials } from './credentials.js';
import { describeUrl, type Endpoint, isLoopback } from './endpoint.js';
import type { HttpClient } from './http.js';
import type { ResolvedRegistryOptions } from './options.js';
import { retry } from './retry.js';

interface Token {
  header: string;
  expiresAt: number;
}

interface Asked {
  service: string | undefined;
  scopes: string[];
  credentials: Credentials | undefined;
}

const TOKEN_BYTES = 1024 * 1024;
/** What the specification has a token live for when it does not say. */
const TOKEN_SECONDS = 60;
const MARGIN_MS = 10_000;
const CLIENT_ID = 'cadre-containerd';
const operation = 'authenticate';

/** What one endpoint is shown with a request: nothing until it asks, then what it asked for, tokens kept by scope. */
export class Authorizer {
  readonly #http: HttpClient;
  readonly #endpoint: Endpoint;
  readonly #host: string;
  readonly #options: ResolvedRegistryOptions;
  readonly #tokens = new Map<string, Promise<Token>>();
  #credentials: Promise<Credentials | undefined> | undefined;
  #challenge: Challenge | undefined;

  constructor(http: HttpClient, endpoint: Endpoint, options: ResolvedRegistryOptions) {
    this.#http = http;
    this.#endpoint = endpoint;
    this.#host = endpoint.base.host === 'registry-1.docker.io' ? 'docker.io' : endpoint.base.host;
    this.#options = options;
  }

  /** The header `Authorization` for a scope; undefined as long as none was asked for. */
  async getHeader(scope: string, signal: AbortSignal | undefined): Promise<string | undefined> {
    if (this.#challenge === undefined) return undefined;
    const credentials = await this.#getCredentials();
    if (this.#challenge.scheme === 'basic') {
      if (credentials === undefined) throw this.#refuse('it wants a user name and a password, and none are configured');
      return describeBasic(credentials);
    }
    if (credentials?.accessToken !== undefined) return `Bearer ${credentials.accessToken}`;
    const known = await this.#tokens.get(scope)?.catch(() => undefined);
    if (known !== undefined && known.expiresAt > Date.now()) return known.header;
    const fetched = retry(() => this.#fetchToken(scope, credentials, signal), {
      retries: this.#options.retries,
      signal,
    });
    this.#tokens.set(scope, fetched);
    return (await fetched).header;
  }

  /** Takes up what an endpoint said with a 401. False when there is nothing in it that can be answered. */
  learn(header: string | undefined, scope: string): boolean {
    const challenges = parseChallenges(header ?? '');
    const found =
      challenges.find(({ scheme, parameters }) => scheme === 'bearer' && parameters.realm !== undefined) ??
      challenges.find(({ scheme }) => scheme === 'basic');
    if (found === undefined) return false;
    this.#challenge = found;
    this.#tokens.delete(scope);
    return true;
  }

  /** True when what was asked so far was answered without credentials. */
  async isAnonymous(): Promise<boolean> {
    return this.#challenge === undefined || (await this.#getCredentials()) === undefined;
  }

  #getCredentials(): Promise<Credentials | undefined> {
    this.#credentials ??= findCredentials(this.#host, this.#options);
    return this.#credentials;
  }

  async #fetchToken(
    scope: string,
    credentials: Credentials | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Token> {
    const { realm = '', service } = this.#challenge?.parameters ?? {};
    const url = this.#parseRealm(realm);
    const scopes = scope.split(' ').filter((item) => item !== '');
    const { tls, connectTimeoutMs } = this.#endpoint;
    const common = {
      // The CA and the certificates are configured for this host, whose token service may be its own.
      ...(url.host === this.#endpoint.base.host ? { tls } : {}),
      connectTimeoutMs,
      signal,
    };
    const startedAt = Date.now();
    const answer = await (credentials?.refreshToken === undefined
      ? this.#http.send({ ...common, method: 'GET', ...describeTokenGet(url, { service, scopes, credentials }) })
      : this.#http.send({
          ...common,
          method: 'POST',
          url,
          headers: { 'content-type': 'application/x-www-form-urlencoded' },
          body: new URLSearchParams({
            grant_type: 'refresh_token',
            service: service ?? '',
            scope: scopes.join(' '),
            client_id: CLIENT_ID,
            refresh_token: credentials.refreshToken,
          }).toString(),
        }));
    await checkStatus(answer, `token for ${this.#host}`);
    const data = await readAnswer(this.#http, answer, { limit: TOKEN_BYTES, signal });
    return this.#parseToken(data, url, startedAt);
  }

  #parseToken(data: Uint8Array, url: URL, startedAt: number): Token {
    let given: Record<string, unknown> = {};
    try {
      given = JSON.parse(Buffer.from(data).toString('utf8')) as Record<string, unknown>;
    } catch {
      // The parser's message quotes the text, which may hold a token.
    }
    const { token = given?.access_token, expires_in: seconds = TOKEN_SECONDS } = given ?? {};
    if (typeof token !== 'string' || !/^[\x21-\x7e]+$/.test(token)) {
      throw new DriverError('unavailable', `${describeUrl(url)} gave no token`, { operation });
    }
    const lifetime = typeof seconds === 'number' && seconds > 0 ? seconds : TOKEN_SECONDS;
    return { header: `Bearer ${token}`, expiresAt: startedAt + lifetime * 1000 - MARGIN_MS };
  }

  /** The registry says where tokens are; it must not make us show a password to the network in the clear. */
  #parseRealm(realm: string): URL {
    const { base } = this.#endpoint;
    const url = URL.canParse(realm, base.href) ? new URL(realm, base) : undefined;
    if (url === undefined) throw this.#refuse('the realm of its tokens is no URL');
    const isPlain = url.protocol === 'http:' && (isLoopback(url.host) || this.#options.plainHttp.includes(url.host));
    const isSame = url.origin === base.origin;
    if (url.protocol !== 'https:' && !(isPlain && base.protocol === 'http:') && !isSame) {
      throw this.#refuse(`its tokens are at ${url.origin}, which is not reached over TLS`);
    }
    return url;
  }

  #refuse(reason: string): DriverError {
    return new DriverError('permission-denied', `registry ${this.#host} refuses access: ${reason}`, { operation });
  }
}

function describeBasic({ username, password }: Credentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
}

function describeTokenGet(
  realm: URL,
  { service, scopes, credentials }: Asked,
): { url: URL; headers: Record<string, string> } {
  const url = new URL(realm.href);
  if (service !== undefined) url.searchParams.set('service', service);
  for (const scope of scopes) url.searchParams.append('scope', scope);
  return { url, headers: credentials === undefined ? {} : { authorization: describeBasic(credentials) } };
}
