import { DriverError } from '../../core/error.js';
import type { TypedBlob } from '../document.js';
import { checkStatus } from './answer.js';
import type { HttpAnswer } from './http.js';
import type { Host, Repository } from './repository.js';
import { Attempts } from './retry.js';

/** Sent at once. A blob of at most these is one request; a larger one goes on after a failure from where it was. */
const PIECE_BYTES = 8 * 1024 * 1024;
const operation = 'push image';

export interface UploadSource {
  /** Repositories of the registry that have the blob, from where it can be mounted without being sent. */
  from: readonly string[];
  read(offset: number, size: number): Promise<Uint8Array>;
  onBytes(bytes: number): void;
  signal: AbortSignal;
}

/** Brings a blob into a repository; one that is there is not sent. */
export async function uploadBlob(repository: Repository, blob: TypedBlob, source: UploadSource): Promise<void> {
  const { signal } = source;
  await repository.push(signal, async (host) => {
    const upload = new Upload(repository, host, blob, source);
    if (!(await upload.isThere())) await upload.run();
    source.onBytes(blob.size);
  });
}

/** Puts a manifest or an index under a tag or its digest, after all that it refers to. */
export async function uploadManifest(
  repository: Repository,
  manifest: TypedBlob,
  { data, as, signal }: { data: Uint8Array; as: string; signal: AbortSignal },
): Promise<void> {
  const { name, registry } = repository;
  await repository.push(signal, async (host) => {
    const headers = { 'content-type': manifest.mediaType };
    const path = `manifests/${as}`;
    const scope = describeScope(name);
    const answer = await repository.send(host, { method: 'PUT', path, headers, body: data, scope, signal });
    await checkStatus(answer, `manifest ${as} for ${registry}/${name}`, [200, 201, 202]);
    await answer.body.dump();
    const digest = answer.headers['docker-content-digest'] ?? manifest.digest;
    if (digest === manifest.digest) return;
    const message = `${registry}/${name} keeps the manifest ${manifest.digest} as ${digest}`;
    throw new DriverError('data-loss', message, { operation });
  });
}

function describeScope(name: string, from: readonly string[] = []): string {
  return [`repository:${name}:pull,push`, ...from.map((other) => `repository:${other}:pull`)].join(' ');
}

class Upload {
  readonly #repository: Repository;
  readonly #host: Host;
  readonly #blob: TypedBlob;
  readonly #source: UploadSource;
  readonly #subject: string;
  #location = new URL('http://none.invalid');

  constructor(repository: Repository, host: Host, blob: TypedBlob, source: UploadSource) {
    this.#repository = repository;
    this.#host = host;
    this.#blob = blob;
    this.#source = source;
    this.#subject = `upload of ${blob.digest} to ${repository.registry}/${repository.name}`;
  }

  async isThere(): Promise<boolean> {
    const answer = await this.#send({ method: 'HEAD', path: `blobs/${this.#blob.digest}` });
    // A HEAD has no body to say more; a registry that hides what it has answers 404.
    await checkStatus(answer, this.#subject, [200, 404]);
    await answer.body.dump();
    return answer.status === 200;
  }

  async run(): Promise<void> {
    const { digest, size } = this.#blob;
    const { read, onBytes } = this.#source;
    if (await this.#begin()) return;
    if (size <= PIECE_BYTES) return this.#finish(await read(0, size), digest);
    const { signal } = this.#source;
    const attempts = new Attempts({ retries: this.#repository.options.retries, signal });
    for (let offset = 0; offset < size; ) {
      const piece = await read(offset, Math.min(PIECE_BYTES, size - offset));
      try {
        await this.#sendPiece(offset, piece);
        offset += piece.length;
        attempts.reset();
      } catch (error) {
        await attempts.bear(error);
        offset = await this.#askOffset();
      }
      onBytes(offset);
    }
    await this.#finish(new Uint8Array(), digest);
  }

  /** True when the blob was mounted from another repository, so that there is nothing to send. */
  async #begin(from = this.#source.from.find((other) => other !== this.#repository.name)): Promise<boolean> {
    const { name } = this.#repository;
    const query = !from ? '' : `?${new URLSearchParams({ mount: this.#blob.digest, from })}`;
    const scope = describeScope(name, from ? [from] : []);
    const answer = await this.#send({ method: 'POST', path: `blobs/uploads/${query}`, scope });
    if (from && answer.status >= 400 && answer.status < 500) {
      // What is known of the other repository may be out of date, or not ours to read.
      await answer.body.dump();
      return this.#begin('');
    }
    await checkStatus(answer, this.#subject, from ? [201, 202] : [202]);
    await answer.body.dump();
    if (answer.status === 201) return true;
    this.#follow(answer);
    return false;
  }

  async #sendPiece(offset: number, body: Uint8Array): Promise<void> {
    const headers = {
      'content-type': 'application/octet-stream',
      'content-range': `${offset}-${offset + body.length - 1}`,
    };
    const answer = await this.#send({ method: 'PATCH', path: this.#location, headers, body });
    await checkStatus(answer, this.#subject, [202, 204]);
    await answer.body.dump();
    this.#follow(answer);
  }

  /** How much of it the registry has, after a failure. */
  async #askOffset(): Promise<number> {
    const answer = await this.#send({ method: 'GET', path: this.#location });
    await checkStatus(answer, this.#subject, [202, 204]);
    await answer.body.dump();
    this.#follow(answer);
    const [, last] = /^0-(\d+)$/.exec(answer.headers.range ?? '') ?? [];
    // Of nothing and of one byte the registry says the same.
    return last === undefined || last === '0' ? 0 : Number(last) + 1;
  }

  async #finish(body: Uint8Array, digest: string): Promise<void> {
    const path = new URL(this.#location);
    path.searchParams.set('digest', digest);
    const headers = { 'content-type': 'application/octet-stream' };
    const answer = await this.#send({ method: 'PUT', path, headers, body });
    await checkStatus(answer, this.#subject, [201, 204]);
    await answer.body.dump();
  }

  #follow({ headers, url }: HttpAnswer): void {
    const { location } = headers;
    if (location !== undefined && URL.canParse(location, url.href)) {
      this.#location = new URL(location, url);
      return;
    }
    throw new DriverError('unavailable', `${this.#subject}: ${url.host} does not say where to`, { operation });
  }

  #send(request: Parameters<Repository['send']>[1]): Promise<HttpAnswer> {
    const { signal } = this.#source;
    return this.#repository.send(this.#host, { scope: describeScope(this.#repository.name), signal, ...request });
  }
}
