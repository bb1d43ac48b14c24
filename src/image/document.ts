import { DriverError, formatValue } from '../core/error.js';

/** A blob in the content store, and how to read it. */
export interface TypedBlob {
  /** Of the OCI image specification, or Docker's own. */
  mediaType: string;
  /** `sha256:` and 64 hex digits. */
  digest: string;
  /** Bytes. */
  size: number;
}

/** What one document says of another, in the words of the OCI image specification. */
export interface Descriptor extends TypedBlob {
  annotations?: Record<string, string>;
  platform?: Partial<Platform>;
}

/** In Go's words: `linux`, `amd64`, `arm64`; a variant such as `v8`. */
export interface Platform {
  /** Such as `linux`. */
  os: string;
  /** Such as `amd64` or `arm64`. */
  architecture: string;
  /** Of the processor, such as `v7` of `arm`. */
  variant?: string;
}

export interface Manifest {
  config: Descriptor;
  layers: Descriptor[];
}

export interface Index {
  manifests: Descriptor[];
}

/** What an image says about the processes made from it. Fields keep the names of the OCI image specification. */
export interface ImageConfig {
  /** Whom processes run as where the policy names no `user`. */
  User?: string;
  /** `NAME=value`, below the session's own environment. */
  Env?: string[];
  /** Kept and not run: a session has the command that it is created with, or none. */
  Entrypoint?: string[];
  /** Kept and not run, as `Entrypoint` is. */
  Cmd?: string[];
  /** Where commands begin unless `cwd` says otherwise. */
  WorkingDir?: string;
  /** Paths that the image wants on a volume. */
  Volumes?: Record<string, unknown>;
  /** Kept and not used. */
  ExposedPorts?: Record<string, unknown>;
  /** Kept and not used: `stop()` begins with SIGTERM. */
  StopSignal?: string;
  /** What its builder noted. */
  Labels?: Record<string, string>;
}

/** How a layer came to be, in the words of the OCI image specification. */
export interface HistoryEntry {
  /** RFC 3339. */
  created?: string;
  /** The instruction or command that made it. */
  created_by?: string;
  /** Who made it. */
  author?: string;
  /** Free text. */
  comment?: string;
  /** It made no layer. */
  empty_layer?: boolean;
}

export interface ConfigFile {
  platform: Partial<Platform>;
  config: ImageConfig;
  history: HistoryEntry[];
  /** Digests of the uncompressed layers, the lowest first. */
  diffIds: string[];
}

const digestPattern = /^sha256:[a-f0-9]{64}$/;

/** Without what the referring document adds. */
export function pickBlob({ mediaType, digest, size }: TypedBlob): TypedBlob {
  return { mediaType, digest, size };
}

/** Parses JSON from an archive or from the store. Throws `invalid-argument` that names the document. */
export function parseJson(bytes: Uint8Array, subject: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new DriverError('invalid-argument', `${subject} is not JSON`, { operation: 'read image', cause });
  }
}

export function parseManifest(value: unknown, subject: string): Manifest {
  const { config, layers } = expectRecord(value, subject);
  return {
    config: parseDescriptor(config, `config of ${subject}`),
    layers: expectArray(layers, `layers of ${subject}`).map((layer, i) =>
      parseDescriptor(layer, `layer ${i + 1} of ${subject}`),
    ),
  };
}

export function parseIndex(value: unknown, subject: string): Index {
  const { manifests } = expectRecord(value, subject);
  return {
    manifests: expectArray(manifests, `manifests of ${subject}`).map((manifest, i) =>
      parseDescriptor(manifest, `manifest ${i + 1} of ${subject}`),
    ),
  };
}

export function parseConfigFile(value: unknown, subject: string): ConfigFile {
  const file = expectRecord(value, subject);
  const { diff_ids: diffIds } = expectRecord(file.rootfs, `rootfs of ${subject}`);
  return {
    platform: parsePlatform(file),
    config: parseImageConfig(file.config ?? {}, subject),
    history: expectArray(file.history ?? [], `history of ${subject}`).map((entry) => parseHistory(entry, subject)),
    diffIds: expectArray(diffIds ?? [], `rootfs.diff_ids of ${subject}`).map((id) =>
      expectDigest(id, `a diff id of ${subject}`),
    ),
  };
}

function parseDescriptor(value: unknown, subject: string): Descriptor {
  const { mediaType, digest, size, annotations, platform } = expectRecord(value, subject);
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw refuse(subject, 'size', size, 'a number of bytes');
  }
  return {
    mediaType: expectString(mediaType, subject, 'mediaType'),
    digest: expectDigest(digest, subject),
    size,
    ...(annotations == null ? {} : { annotations: expectStrings(annotations, subject, 'annotations') }),
    ...(platform == null ? {} : { platform: parsePlatform(expectRecord(platform, `platform of ${subject}`)) }),
  };
}

function parsePlatform(file: Record<string, unknown>): Partial<Platform> {
  const { os, architecture, variant } = file;
  return {
    ...(typeof os === 'string' && os !== '' ? { os } : {}),
    ...(typeof architecture === 'string' && architecture !== '' ? { architecture } : {}),
    ...(typeof variant === 'string' && variant !== '' ? { variant } : {}),
  };
}

/** Builders write null, or nothing, for what is not set. */
function parseImageConfig(value: unknown, subject: string): ImageConfig {
  const given = expectRecord(value, `config of ${subject}`);
  const config: ImageConfig = {};
  for (const key of ['User', 'WorkingDir', 'StopSignal'] as const) {
    if (given[key] != null && given[key] !== '') config[key] = expectString(given[key], subject, `config.${key}`);
  }
  for (const key of ['Env', 'Entrypoint', 'Cmd'] as const) {
    if (given[key] != null) {
      config[key] = expectArray(given[key], `config.${key} of ${subject}`).map((item) =>
        expectString(item, subject, `config.${key}`),
      );
    }
  }
  for (const key of ['Volumes', 'ExposedPorts'] as const) {
    if (given[key] != null) config[key] = expectRecord(given[key], `config.${key} of ${subject}`);
  }
  if (given.Labels != null) config.Labels = expectStrings(given.Labels, subject, 'config.Labels');
  return config;
}

/** It says nothing that anything depends on, so that what makes no sense in it is passed over. */
function parseHistory(value: unknown, subject: string): HistoryEntry {
  const given = expectRecord(value, `a history entry of ${subject}`);
  const entry: HistoryEntry = {};
  for (const key of ['created', 'created_by', 'author', 'comment'] as const) {
    if (typeof given[key] === 'string') entry[key] = given[key];
  }
  if (given.empty_layer === true) entry.empty_layer = true;
  return entry;
}

export function expectRecord(value: unknown, subject: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new DriverError('invalid-argument', `${subject} is ${formatValue(value)}, not a JSON object`);
}

export function expectArray(value: unknown, subject: string): unknown[] {
  if (Array.isArray(value)) return value;
  throw new DriverError('invalid-argument', `${subject} is ${formatValue(value)}, not a list`);
}

export function expectString(value: unknown, subject: string, field: string): string {
  if (typeof value === 'string') return value;
  throw refuse(subject, field, value, 'a string');
}

function expectStrings(value: unknown, subject: string, field: string): Record<string, string> {
  const record = expectRecord(value, `${field} of ${subject}`);
  return Object.fromEntries(Object.entries(record).map(([key, item]) => [key, expectString(item, subject, field)]));
}

function expectDigest(value: unknown, subject: string): string {
  if (typeof value === 'string' && digestPattern.test(value)) return value;
  throw refuse(subject, 'digest', value, 'sha256: and 64 hex digits');
}

function refuse(subject: string, field: string, value: unknown, expected: string): DriverError {
  return new DriverError('invalid-argument', `${subject}: ${field} = ${formatValue(value)}: expected ${expected}`);
}
