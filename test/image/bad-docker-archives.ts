/** Archives that an importer must refuse: the archive, the error's code, and what its message must say. */
import { gzipSync } from 'node:zlib';
import { buildDockerArchive } from '../support/busybox.js';
import { packTar } from '../support/tar.js';
import { digestOf, dockerArchive, HOST, layer, NAME } from './archives.js';

export type Refused = readonly [archive: Buffer, code: string, ...says: string[]];

const invalid = 'invalid-argument';
const lost = 'data-loss';
const layers = [layer('one'), layer('two')];
const diffIds = layers.map(digestOf);
const [one = ''] = diffIds;
const said = digestOf(layer('said'));
const compressed = layers.map((data) => gzipSync(data));

function withConfig(config: unknown): Buffer {
  return dockerArchive({ layers, config: typeof config === 'string' ? config : JSON.stringify(config) });
}

function withItem(item: Record<string, unknown>): Buffer {
  return dockerArchive({ layers, item });
}

const circle = [
  { path: 'a', symlink: 'b' },
  { path: 'b', symlink: 'a' },
];

export const badTars: Record<string, Refused> = {
  'no manifest': [packTar([{ path: 'README', data: 'x' }]), invalid, 'no manifest.json and no oci-layout'],
  'an empty tar': [packTar([]), invalid, 'no manifest.json and no oci-layout'],
  'not a tar': [Buffer.alloc(4096, 'text'), invalid, 'is not a tar archive'],
  'an empty file': [Buffer.alloc(0), invalid, 'is not a tar archive: it has 0 bytes'],
  'a truncated tar': [dockerArchive().subarray(0, 4000), lost, 'truncated after 4000 bytes'],
  'a truncated gzip': [gzipSync(dockerArchive()).subarray(0, 300), lost, 'truncated'],
  'a path that leads out': [
    dockerArchive({ more: [{ path: '../evil', data: 'x' }] }),
    invalid,
    'entry "../evil" leads out of the archive',
  ],
};

export const badDockerArchives: Record<string, Refused> = {
  'manifest not JSON': [dockerArchive({ manifest: '[{' }), invalid, 'manifest.json in', 'is not JSON'],
  'manifest no list': [dockerArchive({ manifest: '{}' }), invalid, 'manifest.json in', 'is {}, not a list'],
  'manifest empty': [dockerArchive({ manifest: '[]' }), invalid, 'names no image'],
  'item no object': [dockerArchive({ manifest: '[7]' }), invalid, 'is 7, not a JSON object'],
  'config that leads out': [withItem({ Config: '../../etc/passwd' }), invalid, '"../../etc/passwd"', 'leads out'],
  'config missing': [withItem({ Config: 'gone.json' }), lost, 'config "gone.json" is missing'],
  'config not named': [withItem({ Config: null }), invalid, 'Config = null: expected a string'],
  'config not JSON': [withConfig('nope'), invalid, 'config.json in', 'is not JSON'],
  'config without layers': [withConfig({}), invalid, 'rootfs of config.json'],
  'config with a bad diff id': [
    withConfig({ rootfs: { diff_ids: ['x'] } }),
    invalid,
    'a diff id of config.json',
    '"x"',
  ],
  'layer that leads out': [withItem({ Layers: ['0/layer.tar', '/etc/passwd'] }), invalid, '"/etc/passwd"', 'leads out'],
  'layer missing': [withItem({ Layers: ['0/layer.tar', '9/layer.tar'] }), lost, 'layer 2 "9/layer.tar" is missing'],
  'layer count': [withItem({ Layers: ['0/layer.tar'] }), invalid, 'has 1 layers, config.json has 2'],
  'links in a circle': [
    dockerArchive({ layers, item: { Layers: ['a', 'b'] }, more: circle }),
    lost,
    'layer 1 "a" is missing',
  ],
  'wrong diff id': [
    dockerArchive({ layers: [layer('said'), layer('two')], stored: layers }),
    lost,
    'layer 1 (0/layer.tar)',
    `is ${one}`,
    `config says ${said}`,
  ],
  'wrong diff id of a compressed layer': [
    dockerArchive({ layers: [layer('said'), layer('two')], stored: compressed }),
    lost,
    'layer 1 (sha256:',
    `unpacks to ${one}`,
    `config says ${said}`,
  ],
  'bad name': [withItem({ RepoTags: ['Bad Name'] }), invalid, 'names an image badly', '"Bad Name"'],
  'other platform': [
    withConfig({ os: 'linux', architecture: 's390x', rootfs: { diff_ids: diffIds } }),
    'not-found',
    `${NAME} in `,
    `nothing for linux/${HOST.architecture}, only for linux/s390x`,
  ],
  'busybox, wrong diff id': [
    buildDockerArchive({ fault: 'wrong-diff-id' }),
    lost,
    `config says sha256:${'0'.repeat(64)}`,
  ],
  'busybox, truncated layer': [buildDockerArchive({ fault: 'truncated-layer' }), lost, 'layer 1', 'cannot be unpacked'],
  'busybox, missing config': [buildDockerArchive({ fault: 'missing-config' }), lost, 'config', 'is missing'],
  'busybox, corrupt layer': [buildDockerArchive({ fault: 'corrupt-layer' }), lost, 'layer 1', 'config says'],
};
