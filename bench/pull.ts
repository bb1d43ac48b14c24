/**
 * A pull of 20 layers, 1 GiB as they are stored, from a registry on loopback: this package against `ctr images pull`
 * on the same daemon, in turns: npm run bench:pull [-- ROUNDS [GENERATION]]
 */
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { removeImage } from '../src/image/image.js';
import { pullImage } from '../src/image/pull.js';
import { parseReference } from '../src/image/reference.js';
import { Repository } from '../src/image/registry/repository.js';
import { uploadBlob, uploadManifest } from '../src/image/registry/upload.js';
import { Channel } from '../src/rpc/channel.js';
import { findContainerd, type Generation } from '../test/support/containerd-binary.js';
import { nameNamespace, startDaemon } from '../test/support/daemon.js';
import { startRegistry } from '../test/support/registry.js';
import { packTar } from '../test/support/tar.js';

const LAYERS = 20;
const MIB = 1024 ** 2;
const FILE_MIB = 51;
const OCI = 'application/vnd.oci.image';

const [rounds = '5', generation = '2.1'] = process.argv.slice(2);

async function publishImage(reference: string): Promise<void> {
  const repository = new Repository(parseReference(reference));
  const { signal } = new AbortController();
  const put = async (mediaType: string, data: Buffer) => {
    const descriptor = { mediaType, digest: digest(data), size: data.length };
    const read = async (offset: number, size: number) => data.subarray(offset, offset + size);
    await uploadBlob(repository, descriptor, { from: [], read, onBytes: () => undefined, signal });
    return descriptor;
  };
  try {
    const layers = [];
    const diffIds: string[] = [];
    for (let i = 0; i < LAYERS; i += 1) {
      const tar = packTar([{ path: `layer-${i}`, data: randomBytes(FILE_MIB * MIB) }]);
      diffIds.push(digest(tar));
      layers.push(await put(`${OCI}.layer.v1.tar+gzip`, gzipSync(tar, { level: 1 })));
    }
    const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
    const document = { os: 'linux', architecture, config: {}, rootfs: { type: 'layers', diff_ids: diffIds } };
    const config = await put(`${OCI}.config.v1+json`, Buffer.from(JSON.stringify(document)));
    const mediaType = `${OCI}.manifest.v1+json`;
    const data = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers }));
    const manifest = { mediaType, digest: digest(data), size: data.length };
    await uploadManifest(repository, manifest, { data, as: '1', signal });
  } finally {
    await repository.close();
  }
}

function digest(data: Uint8Array): string {
  return `sha256:${createHash('sha256').update(data).digest('hex')}`;
}

function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? 0;
}

const registry = await startRegistry();
const daemon = await startDaemon({ generation: generation as Generation });
const namespace = nameNamespace();
const channel = new Channel({ address: daemon.address, namespace });
try {
  const reference = `${registry.host}/bench:1`;
  await publishImage(reference);
  const ctr = join(findContainerd(generation as Generation).directory, 'ctr');
  const times: { ours: number[]; ctr: number[] } = { ours: [], ctr: [] };
  let rss = 0;
  const pulls = {
    ours: () => pullImage(channel, reference, { onProgress: () => (rss = Math.max(rss, process.memoryUsage.rss())) }),
    ctr: async () =>
      execFileSync(ctr, ['-a', daemon.address, '-n', namespace, 'images', 'pull', '--plain-http', reference], {
        stdio: 'ignore',
      }),
  };
  for (let round = 0; round < Number(rounds); round += 1) {
    for (const name of round % 2 === 0 ? (['ours', 'ctr'] as const) : (['ctr', 'ours'] as const)) {
      const started = performance.now();
      await pulls[name]();
      times[name].push(Math.round(performance.now() - started));
      await removeImage(channel, reference, { sync: true });
      execFileSync('sync');
    }
  }
  const [ours, theirs] = [median(times.ours), median(times.ctr)];
  console.log(`containerd ${daemon.version}, ${LAYERS} layers of ${FILE_MIB} MiB`);
  console.log(`ours ${ours} ms (${times.ours.join(', ')}), at most ${Math.round(rss / MIB)} MiB resident`);
  console.log(`ctr  ${theirs} ms (${times.ctr.join(', ')})`);
  console.log(`ratio ${(ours / theirs).toFixed(2)}`);
} finally {
  channel.close();
  await daemon.stop();
  await registry.stop();
}
