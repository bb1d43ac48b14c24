/** A busybox image made on the spot from the host's static busybox: nothing is pulled, digests are stable. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { packTar, type TarEntry } from './tar.js';

/** What goes wrong with an archive that an importer must refuse. */
type ImageFault =
  /** The config names another layer than the one that is there. */
  | 'wrong-diff-id'
  /** The layer ends in the middle; digests and sizes are those of what is there. */
  | 'truncated-layer'
  /** The manifest names a config that is not in the archive. */
  | 'missing-config'
  /** A blob differs from its digest (OCI), or the layer from its diffID (docker). */
  | 'corrupt-layer';

export interface BusyboxOptions {
  /** Defaults to `BUSYBOX_REFERENCE`. */
  readonly reference?: string;
  /** Merged over the image's config block: Env, User, WorkingDir, Entrypoint, Cmd, Labels, ... */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Appended to the root filesystem, as a second layer when `layers` is 2. */
  readonly files?: readonly TarEntry[];
  /** Defaults to 1. */
  readonly layers?: 1 | 2;
  readonly fault?: ImageFault;
}

export const BUSYBOX_REFERENCE = 'registry.test/library/busybox:1.35';

/** The ordinary user of the image. */
export const AGENT = { name: 'agent', uid: 1000, gid: 1000, supplementary: 2000, home: '/home/agent' } as const;

/** What `docker save` writes: manifest.json, the config, plain layers. */
export function buildDockerArchive(options: BusyboxOptions = {}): Buffer {
  const image = buildImage(options);
  const configPath = `${hash(image.config)}.json`;
  const layers = image.layers.map((layer, index) => ({
    path: `layer-${index}/layer.tar`,
    data: options.fault === 'corrupt-layer' && index === 0 ? flipByte(layer) : layer,
  }));
  const manifest = [
    {
      Config: configPath,
      RepoTags: [options.reference ?? BUSYBOX_REFERENCE],
      Layers: layers.map(({ path }) => path),
    },
  ];
  return packTar([
    ...(options.fault === 'missing-config' ? [] : [{ path: configPath, data: image.config }]),
    ...layers.flatMap((layer) => [{ path: layer.path.replace('layer.tar', '') }, layer]),
    { path: 'manifest.json', data: JSON.stringify(manifest) },
  ]);
}

/** An OCI image layout in a tar: oci-layout, index.json and blobs, with gzip layers. */
export function buildOciLayout(options: BusyboxOptions = {}): Buffer {
  const image = buildImage(options);
  const layers = image.layers.map((layer) => describe('application/vnd.oci.image.layer.v1.tar+gzip', gzipSync(layer)));
  const config = describe('application/vnd.oci.image.config.v1+json', image.config);
  const manifest = describe(
    'application/vnd.oci.image.manifest.v1+json',
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        config: config.descriptor,
        layers: layers.map(({ descriptor }) => descriptor),
      }),
    ),
  );
  const reference = options.reference ?? BUSYBOX_REFERENCE;
  const annotations = {
    'io.containerd.image.name': reference,
    'org.opencontainers.image.ref.name': reference.slice(reference.lastIndexOf(':') + 1),
  };
  const index = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [{ ...manifest.descriptor, platform: PLATFORM, annotations }],
  };
  const blobs = [...layers, ...(options.fault === 'missing-config' ? [] : [config]), manifest];
  const corrupt = options.fault === 'corrupt-layer' ? layers[0] : undefined;
  return packTar([
    { path: 'oci-layout', data: JSON.stringify({ imageLayoutVersion: '1.0.0' }) },
    { path: 'index.json', data: JSON.stringify(index) },
    { path: 'blobs/' },
    { path: 'blobs/sha256/' },
    ...blobs.map((blob) => ({
      path: `blobs/sha256/${blob.descriptor.digest.slice('sha256:'.length)}`,
      data: blob === corrupt ? flipByte(blob.data) : blob.data,
    })),
  ]);
}

interface ImageParts {
  readonly config: Buffer;
  readonly layers: readonly Buffer[];
}

const PLATFORM = { architecture: process.arch === 'x64' ? 'amd64' : process.arch, os: 'linux' };

function buildImage({ config, files = [], layers = 1, fault }: BusyboxOptions): ImageParts {
  const trees = layers === 2 ? [listRootfs(), files] : [[...listRootfs(), ...files]];
  const whole = trees.map((entries) => packTar(entries));
  const built = whole.map((layer) => (fault === 'truncated-layer' ? layer.subarray(0, layer.length >> 1) : layer));
  const diffIds = built.map((layer) => (fault === 'wrong-diff-id' ? `sha256:${'0'.repeat(64)}` : digest(layer)));
  const document = {
    created: '1970-01-01T00:00:00Z',
    ...PLATFORM,
    config: { Env: ['PATH=/usr/local/bin:/usr/bin:/bin'], Cmd: ['sh'], WorkingDir: '/', ...config },
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: built.map(() => ({ created: '1970-01-01T00:00:00Z', created_by: 'busybox-static' })),
  };
  return { config: Buffer.from(JSON.stringify(document)), layers: built };
}

/** The root filesystem as tar entries, sorted so that parents come first. */
function listRootfs(): TarEntry[] {
  const binary = findBusybox();
  const applets = execFileSync(binary, ['--list'], { encoding: 'utf8' }).split('\n').filter(Boolean).sort();
  return [
    ...[
      'bin/',
      'dev/',
      'etc/',
      'home/',
      'proc/',
      'run/',
      'sys/',
      'usr/',
      'usr/bin/',
      'usr/local/',
      'usr/local/bin/',
      'var/',
    ].map((path) => ({ path })),
    { path: 'root/', mode: 0o700 },
    { path: 'tmp/', mode: 0o1777 },
    { path: 'home/agent/', mode: 0o750, uid: AGENT.uid, gid: AGENT.gid },
    { path: 'bin/busybox', mode: 0o755, data: readFileSync(binary) },
    ...applets.filter((name) => name !== 'busybox').map((name) => ({ path: `bin/${name}`, symlink: '/bin/busybox' })),
    {
      path: 'etc/passwd',
      data: [
        'root:x:0:0:root:/root:/bin/sh',
        'nobody:x:65534:65534:nobody:/nonexistent:/bin/false',
        `${AGENT.name}:x:${AGENT.uid}:${AGENT.gid}:ordinary user:${AGENT.home}:/bin/sh`,
        '',
      ].join('\n'),
    },
    {
      path: 'etc/group',
      data: [
        'root:x:0:',
        'nogroup:x:65534:',
        `${AGENT.name}:x:${AGENT.gid}:`,
        `tools:x:${AGENT.supplementary}:agent`,
        '',
      ].join('\n'),
    },
  ];
}

function findBusybox(): string {
  const found = ['/bin/busybox', '/usr/bin/busybox'].find((path) => existsSync(path));
  if (!found) throw new Error('no busybox on this machine: run scripts/setup.sh');
  return found;
}

function describe(mediaType: string, data: Buffer) {
  return { descriptor: { mediaType, digest: digest(data), size: data.length }, data };
}

/** In the middle, where a layer holds a file's bytes: the archive stays well formed. */
function flipByte(data: Buffer): Buffer {
  const copy = Buffer.from(data);
  const middle = copy.length >> 1;
  copy[middle] = (copy[middle] ?? 0) ^ 0xff;
  return copy;
}

function digest(data: Buffer): string {
  return `sha256:${hash(data)}`;
}

function hash(data: Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}
