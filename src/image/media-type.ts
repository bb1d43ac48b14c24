import { DriverError } from '../core/error.js';
import type { TypedBlob } from './document.js';

export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
export const OCI_CONFIG = 'application/vnd.oci.image.config.v1+json';
export const OCI_LAYER = 'application/vnd.oci.image.layer.v1.tar';
const DOCKER = 'application/vnd.docker';
export const DOCKER_SCHEMA_1 = `${DOCKER}.distribution.manifest.v1+json`;

const manifests = new Set([OCI_MANIFEST, `${DOCKER}.distribution.manifest.v2+json`]);
const indexes = new Set([OCI_INDEX, `${DOCKER}.distribution.manifest.list.v2+json`]);
/** What a registry is asked for. */
export const MANIFEST_TYPES: readonly string[] = [...indexes, ...manifests];
const configs = new Set([OCI_CONFIG, `${DOCKER}.container.image.v1+json`]);
const layers = new Set([
  ...['', '+gzip', '+zstd'].map((compression) => OCI_LAYER + compression),
  ...['', '.gzip', '.zstd'].map((compression) => `${DOCKER}.image.rootfs.diff.tar${compression}`),
]);

export function isManifest(mediaType: string): boolean {
  return manifests.has(mediaType);
}

export function isIndex(mediaType: string): boolean {
  return indexes.has(mediaType);
}

export function isConfig(mediaType: string): boolean {
  return configs.has(mediaType);
}

/** A Docker layer in an OCI manifest's words; the bytes are the same. */
export function toOciLayer(blob: TypedBlob): TypedBlob {
  const [, compression = ''] = blob.mediaType.match(/[.]tar(?:[+.](gzip|zstd))?$/) ?? [];
  return { ...blob, mediaType: compression === '' ? OCI_LAYER : `${OCI_LAYER}+${compression}` };
}

/** Throws `invalid-argument` for what is neither a manifest nor an index, with the reason where it is a known one. */
export function checkTarget(mediaType: string, subject: string): void {
  if (isManifest(mediaType) || isIndex(mediaType)) return;
  const reason = mediaType.startsWith(`${DOCKER}.distribution.manifest.v1`) ? ': save the image with a newer tool' : '';
  throw refuse(`${subject} has the media type "${mediaType}", which is not that of an image${reason}`);
}

/** Throws `invalid-argument` for the config of something else than a container image. */
export function checkConfig(mediaType: string, subject: string): void {
  if (!isConfig(mediaType)) {
    throw refuse(`${subject} has a config of type "${mediaType}": it is not the image of a container`);
  }
}

export function isLayer(mediaType: string): boolean {
  return layers.has(mediaType);
}

/** Throws `invalid-argument` for layers that cannot be unpacked, with the reason where it is a known one. */
export function checkLayer(mediaType: string, subject: string): void {
  if (layers.has(mediaType)) return;
  if (/nondistributable|foreign/.test(mediaType)) {
    throw refuse(`${subject} is a foreign layer (${mediaType}), to be fetched from elsewhere: not supported`);
  }
  if (mediaType.endsWith('+encrypted')) throw refuse(`${subject} is encrypted (${mediaType}): not supported`);
  throw refuse(`${subject} has the unknown media type "${mediaType}"`);
}

function refuse(message: string): DriverError {
  return new DriverError('invalid-argument', message, { operation: 'read image' });
}
