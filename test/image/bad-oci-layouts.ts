/** OCI layouts that an importer must refuse: the archive, the error's code, and what its message must say. */
import { randomBytes } from 'node:crypto';
import { buildOciLayout } from '../support/busybox.js';
import { packTar } from '../support/tar.js';
import { blob, digestOf, image, layer, layout, named, OCI, targetOf } from './archives.js';
import type { Refused } from './bad-docker-archives.js';

const invalid = 'invalid-argument';
const lost = 'data-loss';
const zeros = `sha256:${'0'.repeat(64)}`;
const layers = [layer('one'), layer('two')];
const [one = ''] = layers.map(digestOf);
const good = image({ layers });
const target = targetOf(good);
const config = good.at(-2)?.data ?? Buffer.alloc(0);
const badSecond = image({ diffIds: [zeros, zeros] });

function documents(index: string, version = '"1.0.0"') {
  return [
    { path: 'oci-layout', data: `{"imageLayoutVersion":${version}}` },
    { path: 'index.json', data: index },
  ];
}

function withTarget(overrides: Record<string, unknown>): Buffer {
  return layout(good, { manifests: [{ ...named(target), ...overrides }] });
}

function withManifest(manifest: unknown): Buffer {
  return layout([...good.slice(0, -1), blob(`${OCI}.manifest.v1+json`, manifest)]);
}

function withLayerType(layerType: string): Buffer {
  return layout(image({ layers, layerType }));
}

function withBlob(path: string): Buffer {
  return layout(good, { more: [{ path, data: 'x' }] });
}

const configDescriptor = blob(`${OCI}.config.v1+json`, config).descriptor;
const badEnv = { config: { Env: 'A=1' }, rootfs: { diff_ids: [] } };
const docker = 'application/vnd.docker';

export const badOciLayouts: Record<string, Refused> = {
  'no index': [packTar(documents('').slice(0, 1)), invalid, 'is an OCI layout without index.json'],
  'other version': [packTar(documents('{}', '"2.0"')), invalid, 'OCI layout of version "2.0"'],
  'index not JSON': [packTar(documents('{')), invalid, 'index.json in', 'is not JSON'],
  'index without manifests': [packTar(documents('{}')), invalid, 'manifests of index.json', 'not a list'],
  'empty index': [packTar(documents('{"manifests":[]}')), invalid, 'names no image'],
  'blob with a short name': [withBlob('blobs/sha256/short'), invalid, 'blobs/sha256/short', '64 hex digits'],
  'blob of another algorithm': [withBlob(`blobs/md5/${'a'.repeat(32)}`), invalid, 'blobs/md5/', '64 hex digits'],
  'blob that is not what its name says': [
    withBlob(`blobs/${zeros.replace(':', '/')}`),
    lost,
    `blobs/${zeros.replace(':', '/')}`,
    'is corrupt',
    digestOf(Buffer.from('x')),
  ],
  'digest in a descriptor': [
    withTarget({ digest: 'sha256:../../../etc/passwd' }),
    invalid,
    'manifest 1 of index.json',
    'digest = "sha256:../../../etc/passwd"',
  ],
  'size in a descriptor': [withTarget({ size: -1 }), invalid, 'manifest 1 of index.json', 'size = -1'],
  'bad name': [
    layout(good, { manifests: [named(target, 'Bad/Name:1')] }),
    invalid,
    'names an image badly',
    'Bad/Name:1',
  ],
  'manifest missing': [
    layout(good.slice(0, -1), { manifests: [named(target)] }),
    lost,
    target.descriptor.digest,
    'is missing',
  ],
  'manifest of another size': [withTarget({ size: 7 }), lost, 'bytes, not 7'],
  'manifest of an unknown type': [
    withTarget({ mediaType: 'application/x-what' }),
    invalid,
    '"application/x-what"',
    'not that of an image',
  ],
  'manifest of docker schema 1': [
    withTarget({ mediaType: `${docker}.distribution.manifest.v1+prettyjws` }),
    invalid,
    'save the image with a newer tool',
  ],
  'manifest without config': [withManifest({ layers: [] }), invalid, 'config of manifest', 'not a JSON object'],
  'manifest that is a list': [withManifest([]), invalid, 'manifest', 'is [], not a JSON object'],
  'config missing': [layout(good.filter(({ data }) => data !== config)), lost, digestOf(config), 'is missing'],
  'config not JSON': [layout(image({ layers, config: Buffer.from('nope') })), invalid, 'is not JSON'],
  'config of something else': [
    layout(image({ layers, configType: 'application/vnd.cncf.helm.config.v1+json' })),
    invalid,
    'helm',
    'not the image of a container',
  ],
  'config with bad fields': [
    layout(image({ layers, config: badEnv })),
    invalid,
    'config.Env of config',
    '"A=1", not a list',
  ],
  'layer missing': [layout(good.slice(1)), lost, `layer 1 (${one})`, 'is missing'],
  'layer count': [withManifest({ config: configDescriptor, layers: [] }), invalid, 'has 0 layers, its config has 2'],
  'foreign layer': [
    withLayerType(`${OCI}.layer.nondistributable.v1.tar+gzip`),
    invalid,
    'layer 1',
    'is a foreign layer',
  ],
  'foreign layer of docker': [
    withLayerType(`${docker}.image.rootfs.foreign.diff.tar.gzip`),
    invalid,
    'layer 1',
    'is a foreign layer',
  ],
  'encrypted layer': [withLayerType(`${OCI}.layer.v1.tar+gzip+encrypted`), invalid, 'layer 1', 'is encrypted'],
  'layer of an unknown type': [
    withLayerType('application/x-what'),
    invalid,
    'layer 1',
    'media type "application/x-what"',
  ],
  'layer that is no tar': [layout(image({ layers: [Buffer.alloc(2000, 'x')] })), lost, 'layer 1', 'cannot be unpacked'],
  'layer that contradicts itself': [
    layout(
      image({
        layers: [
          packTar([
            { path: 'a', data: '' },
            { path: 'a/b', data: '' },
          ]),
        ],
      }),
    ),
    lost,
    'layer 1',
    'cannot be unpacked',
  ],
  'wrong diff id': [
    layout(image({ layers, diffIds: [zeros, zeros] })),
    lost,
    `layer 1 (${one})`,
    `unpacks to ${one}`,
    zeros,
  ],
  'wrong diff id of the second layer': [layout(image({ layers, diffIds: [one, zeros] })), lost, 'layer 2', zeros],
  'the second of two images bad': [
    layout([...good, ...badSecond], { manifests: [named(target), named(targetOf(badSecond), 'registry.test/bad:1')] }),
    lost,
    'registry.test/bad:1',
  ],
  'busybox, wrong diff id': [buildOciLayout({ fault: 'wrong-diff-id' }), lost, 'layer 1', zeros],
  'busybox, truncated layer': [buildOciLayout({ fault: 'truncated-layer' }), lost, 'layer 1', 'cannot be unpacked'],
  'busybox, missing config': [buildOciLayout({ fault: 'missing-config' }), lost, 'is missing'],
  // Content of its own: what another namespace of the daemon has by its digest is taken from there, and is right.
  'busybox, corrupt layer': [
    buildOciLayout({ fault: 'corrupt-layer', files: [{ path: 'unique', data: randomBytes(16) }] }),
    lost,
    'blobs/sha256/',
    'is corrupt',
  ],
};
