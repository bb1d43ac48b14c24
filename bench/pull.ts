/**
 * A pull of 20 layers, 1 GiB as they are stored, from a registry on loopback: this package against `ctr images pull`
 * on the same daemon, each in a process of its own, in turns: npm run bench:pull [-- ROUNDS [GENERATION]]
 *
 * Beside the time: the CPU time of client and daemon together, which says more on a machine that has other work.
 */
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { removeImage } from '../src/image/image.js';
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

/** CPU seconds of a process and of its children that have ended (proc(5), stat, fields 14 to 17, in 1/100 s). */
function readCpu(pid: number | 'self' = 'self'): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / 100;
}

/** One pull by what `npm run build` made, as a user runs it: a compiler of TypeScript in the process would slow it down. */
const script = `
import { readFileSync } from 'node:fs';
const [dist, address, namespace, reference] = process.argv.slice(1);
const { Channel } = await import(dist + 'rpc/channel.js');
const { pullImage } = await import(dist + 'image/pull.js');
const channel = new Channel({ address, namespace });
await pullImage(channel, reference);
channel.close();
console.log(/VmHWM:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]);
`;

const registry = await startRegistry();
const daemon = await startDaemon({ generation: generation as Generation });
const namespace = nameNamespace();
const channel = new Channel({ address: daemon.address, namespace });
try {
  const reference = `${registry.host}/bench:1`;
  await publishImage(reference);
  const ctr = join(findContainerd(generation as Generation).directory, 'ctr');
  const times: { ours: number[]; ctr: number[] } = { ours: [], ctr: [] };
  const cpu: typeof times = { ours: [], ctr: [] };
  const dist = fileURLToPath(new URL('../dist/', import.meta.url));
  let rss = 0;
  const pulls = {
    ours() {
      const args = ['--input-type=module', '-e', script, dist, daemon.address, namespace, reference];
      rss = Math.max(rss, Number(execFileSync(process.execPath, args, { encoding: 'utf8' })));
    },
    ctr() {
      const args = ['-a', daemon.address, '-n', namespace, 'images', 'pull', '--plain-http', reference];
      execFileSync(ctr, args, { stdio: 'ignore' });
    },
  };
  for (let round = 0; round < Number(rounds); round += 1) {
    for (const name of round % 2 === 0 ? (['ours', 'ctr'] as const) : (['ctr', 'ours'] as const)) {
      const [started, before] = [performance.now(), readCpu() + readCpu(daemon.pid)];
      pulls[name]();
      times[name].push(Math.round(performance.now() - started));
      cpu[name].push(readCpu() + readCpu(daemon.pid) - before);
      await removeImage(channel, reference, { sync: true });
      execFileSync('sync');
    }
  }
  const [ours, theirs] = [median(times.ours), median(times.ctr)];
  console.log(`containerd ${daemon.version}, ${LAYERS} layers of ${FILE_MIB} MiB`);
  const describe = (name: keyof typeof times) =>
    `${median(times[name])} ms (${times[name].join(', ')}), ${median(cpu[name]).toFixed(1)} s of CPU time`;
  console.log(`ours ${describe('ours')}, at most ${Math.round(rss / 1024)} MiB resident`);
  console.log(`ctr  ${describe('ctr')}`);
  console.log(`ratio ${(ours / theirs).toFixed(2)}, of CPU time ${(median(cpu.ours) / median(cpu.ctr)).toFixed(2)}`);
} finally {
  channel.close();
  await daemon.stop();
  await registry.stop();
}
