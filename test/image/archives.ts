/** Archives of every shape that an importer meets, good and bad, from a few bytes. */
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { packTar, type TarEntry } from '../support/tar.js';

export const OCI = 'application/vnd.oci.image';
export const HOST = { os: 'linux', architecture: process.arch === 'x64' ? 'amd64' : process.arch };
export const NAME = 'registry.test/team/app:1';
export interface TestBlob {
  data: Buffer;
  descriptor: { mediaType: string; digest: string; size: number; [key: string]: unknown };
}

export function digestOf(data: Uint8Array): string {
  return `sha256:${createHash('sha256').update(data).digest('hex')}`;
}

export function blob(mediaType: string, content: unknown, more: Record<string, unknown> = {}): TestBlob {
  const data = Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content));
  return { data, descriptor: { mediaType, digest: digestOf(data), size: data.length, ...more } };
}

/** A layer with one file. */
export function layer(name: string): Buffer {
  return packTar([{ path: name, data: `content of ${name}` }]);
}

export interface ImageOptions {
  layers?: Buffer[];
  /** Stored form of the layers, when it is not the layers themselves. */
  stored?: Buffer[];
  layerType?: string;
  configType?: string;
  config?: unknown;
  platform?: Record<string, unknown>;
  diffIds?: unknown;
}

/** The blobs of one image: its layers, its config and, last, its manifest. */
export function image(options: ImageOptions = {}): TestBlob[] {
  const { layers = [layer('one'), layer('two')], stored = layers, platform = HOST } = options;
  const {
    diffIds = layers.map(digestOf),
    layerType = `${OCI}.layer.v1.tar`,
    configType = `${OCI}.config.v1+json`,
  } = options;
  const { config = { ...platform, config: { Cmd: ['sh'] }, rootfs: { type: 'layers', diff_ids: diffIds } } } = options;
  const layerBlobs = stored.map((data) => blob(layerType, data));
  const configBlob = blob(configType, config);
  const manifest = blob(`${OCI}.manifest.v1+json`, {
    schemaVersion: 2,
    config: configBlob.descriptor,
    layers: layerBlobs.map(({ descriptor }) => descriptor),
  });
  return [...layerBlobs, configBlob, manifest];
}

export function targetOf(blobs: TestBlob[]): TestBlob {
  const last = blobs.at(-1);
  if (last === undefined) throw new Error('no blobs');
  return last;
}

export function named(target: TestBlob, name = NAME): Record<string, unknown> {
  return { ...target.descriptor, annotations: { 'org.opencontainers.image.ref.name': name } };
}

export interface LayoutOptions {
  manifests?: unknown[];
  /** Instead of the two documents. */
  documents?: TarEntry[];
  more?: TarEntry[];
}

/** An OCI layout of these blobs, the documents first. */
export function layout(blobs: TestBlob[], options: LayoutOptions = {}): Buffer {
  const { manifests = [named(targetOf(blobs))], more = [] } = options;
  const {
    documents = [
      { path: 'oci-layout', data: '{"imageLayoutVersion":"1.0.0"}' },
      { path: 'index.json', data: JSON.stringify({ schemaVersion: 2, manifests }) },
    ],
  } = options;
  return packTar([...documents, ...blobs.map(toEntry), ...more]);
}

function toEntry({ data, descriptor }: TestBlob): TarEntry {
  return { path: `blobs/${descriptor.digest.replace(':', '/')}`, data };
}

export interface DockerOptions {
  layers?: Buffer[];
  stored?: Buffer[];
  config?: string;
  /** Merged over the one item of manifest.json. */
  item?: Record<string, unknown>;
  manifest?: string;
  more?: TarEntry[];
}

/** A docker-archive whose manifest.json comes first. */
export function dockerArchive(options: DockerOptions = {}): Buffer {
  const { layers = [layer('one'), layer('two')], stored = layers, item = {}, more = [] } = options;
  const {
    config = JSON.stringify({ ...HOST, config: {}, rootfs: { type: 'layers', diff_ids: layers.map(digestOf) } }),
  } = options;
  const paths = stored.map((_, i) => `${i}/layer.tar`);
  const { manifest = JSON.stringify([{ Config: 'config.json', RepoTags: [NAME], Layers: paths, ...item }]) } = options;
  return packTar([
    { path: 'manifest.json', data: manifest },
    { path: 'config.json', data: config },
    ...stored.map((data, i) => ({ path: `${i}/layer.tar`, data })),
    ...more,
  ]);
}

export function stream(bytes: Uint8Array): Readable {
  return Readable.from([bytes]);
}
