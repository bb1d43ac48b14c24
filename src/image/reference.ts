import { createInputError, type Fault } from '../core/error.js';

/** An image reference in its parts, docker.io's defaults filled in. `tag` is absent only where a digest stands for it. */
export interface Reference {
  /** Host of the registry, with its port: `docker.io`, `registry.example:5000`. */
  registry: string;
  /** Path within the registry: `library/busybox`. */
  repository: string;
  tag?: string;
  /** `sha256:` and 64 hex digits. */
  digest?: string;
}

const DEFAULT_REGISTRY = 'docker.io';
const DEFAULT_TAG = 'latest';
const NAME_LENGTH = 255;

const label = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])';
const registryPattern = new RegExp(`^(?:${label}(?:\\.${label})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?$`);
const componentPattern = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const tagPattern = /^[\w][\w.-]{0,127}$/;
const digestLengths: Readonly<Record<string, number>> = { sha256: 64, sha384: 96, sha512: 128 };

/**
 * Parses an image reference by the grammar that Docker, containerd and Kubernetes share:
 * `[registry[:port]/]repository[:tag][@digest]`. A first part without a dot, a port or the name `localhost` belongs to
 * the repository, and the registry is docker.io; a single-part repository there is under `library/`; the tag is
 * `latest` where neither tag nor digest is given. Throws `invalid-argument` that names the fault and the value.
 */
export function parseReference(text: string): Reference {
  if (typeof text !== 'string' || text === '') throw refuse(text, 'a name such as docker.io/library/busybox:latest');
  if (/\s/.test(text)) throw refuse(text, 'no white space');
  if (text.includes('://')) throw refuse(text, 'a name without a URL scheme');
  if (/^[a-f0-9]{64}$/.test(text)) throw refuse(text, 'a name, not the id of an image');
  const { name, tag, digest } = splitReference(text);
  const { registry, repository } = splitName(name);
  if (!registryPattern.test(registry)) {
    throw refuse(text, `a registry host with an optional port before the first slash, not "${registry}"`);
  }
  checkRepository(text, repository);
  if (tag !== undefined && !tagPattern.test(tag)) {
    throw refuse(text, `a tag of 1 to 128 letters, digits, "_", "." and "-", not beginning with "." or "-"`);
  }
  if (digest !== undefined) checkDigest(text, digest);
  if (registry.length + repository.length + 1 > NAME_LENGTH) {
    throw refuse(text, `a name of at most ${NAME_LENGTH} characters before tag and digest`);
  }
  if (tag === undefined && digest === undefined) return { registry, repository, tag: DEFAULT_TAG };
  return { registry, repository, ...(tag === undefined ? {} : { tag }), ...(digest === undefined ? {} : { digest }) };
}

/** The canonical text of a reference, the name under which containerd's records and other clients know the image. */
export function formatReference({ registry, repository, tag, digest }: Reference): string {
  return `${registry}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

/** `busybox` -> `docker.io/library/busybox:latest`. Throws as `parseReference` does. */
export function normalizeReference(text: string): string {
  return formatReference(parseReference(text));
}

function splitReference(text: string): { name: string; tag?: string; digest?: string } {
  const at = text.indexOf('@');
  const named = at === -1 ? text : text.slice(0, at);
  const digest = at === -1 ? {} : { digest: text.slice(at + 1) };
  // A colon before the last slash begins a port.
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1);
  if (colon === -1) return { name: named, ...digest };
  return { name: named.slice(0, colon), tag: named.slice(colon + 1), ...digest };
}

function splitName(name: string): { registry: string; repository: string } {
  const slash = name.indexOf('/');
  const first = name.slice(0, slash);
  const isHost = slash !== -1 && (/[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase());
  if (!isHost) return { registry: DEFAULT_REGISTRY, repository: completeRepository(name) };
  const rest = name.slice(slash + 1);
  // Docker's client still knows its registry by the older name.
  if (first === DEFAULT_REGISTRY || first === 'index.docker.io') {
    return { registry: DEFAULT_REGISTRY, repository: completeRepository(rest) };
  }
  return { registry: first, repository: rest };
}

function completeRepository(repository: string): string {
  return repository.includes('/') ? repository : `library/${repository}`;
}

function checkRepository(text: string, repository: string): void {
  const wrong = repository.split('/').find((component) => !componentPattern.test(component));
  if (wrong === undefined) return;
  if (wrong === '') throw refuse(text, 'a repository without empty parts');
  if (/[A-Z]/.test(wrong)) throw refuse(text, `a lower-case repository, not "${wrong}"`);
  throw refuse(text, `lower-case letters and digits in a repository, divided by ".", "_", "__" or "-", not "${wrong}"`);
}

function checkDigest(text: string, digest: string): void {
  const [algorithm = '', hex = ''] = digest.split(':', 2);
  const length = Object.hasOwn(digestLengths, algorithm) ? digestLengths[algorithm] : undefined;
  if (length === undefined) throw refuse(text, `a digest that begins with ${Object.keys(digestLengths).join(', ')}`);
  if (digest !== `${algorithm}:${hex}` || !/^[a-f0-9]+$/.test(hex)) {
    throw refuse(text, `a digest of lower-case hex digits after "${algorithm}:"`);
  }
  if (hex.length !== length) {
    throw refuse(text, `${length} hex digits in a ${algorithm} digest, not ${hex.length}`);
  }
}

function refuse(given: unknown, expected: string): Error {
  // What stands before an @ like a password may be one.
  const value = typeof given === 'string' ? given.replace(/:[^:@/]*@(?!sha\d+)/g, ':[hidden]@') : given;
  const faults: Fault[] = [{ path: 'reference', value, expected }];
  return createInputError('image reference', faults);
}
