/**
 * A pull of 20 layers, 1 GiB as they are stored, from a registry on loopback, against `ctr images pull` on the same
 * daemon, in turns: npm run bench:pull [-- ROUNDS [GENERATION]]. This package pulls in a process that runs, as in the
 * framework, and in one that is started for it, as by the command line.
 *
 * Beside the time: the CPU time of client and daemon together, which says more on a machine that has other work.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
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
function readCpu(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / 100;
}

/** What `npm run build` made, as a user runs it: a compiler of TypeScript in the process would slow it down. */
const script = `
import { readFileSync } from 'node:fs';
const [dist, address, namespace, reference] = process.argv.slice(1);
const { Channel } = await import(dist + 'rpc/channel.js');
const { pullImage } = await import(dist + 'image/pull.js');
const channel = new Channel({ address, namespace });
process.on('message', async () => {
  await pullImage(channel, reference);
  process.send(Number(/VmHWM:\\s+(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]));
});
`;

const registry = await startRegistry();
const daemon = await startDaemon({ generation: generation as Generation });
const namespace = nameNamespace();
const channel = new Channel({ address: daemon.address, namespace });
try {
  const reference = `${registry.host}/bench:1`;
  await publishImage(reference);
  const ctr = join(findContainerd(generation as Generation).directory, 'ctr');
  const dist = fileURLToPath(new URL('../dist/', import.meta.url));
  const args = ['--input-type=module', '-e', script, dist, daemon.address, namespace, reference];
  const start = () => spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  let rss = 0;
  const pull = async (client: ChildProcess) => {
    client.send('pull');
    const [answer] = await Promise.race([once(client, 'message'), once(client, 'exit')]);
    const cause = client.exitCode ?? client.signalCode;
    if (cause !== null) throw new Error(`the client ended with ${cause}`);
    rss = Math.max(rss, Number(answer));
  };
  const end = async (client: ChildProcess) => {
    client.kill();
    await once(client, 'exit');
  };
  const resident = start();
  const pulls = {
    'in a process that runs': () => pull(resident),
    async 'in a process of its own'() {
      const client = start();
      await pull(client).finally(() => end(client));
    },
    async ctr() {
      const args = ['-a', daemon.address, '-n', namespace, 'images', 'pull', '--plain-http', reference];
      execFileSync(ctr, args, { stdio: 'ignore' });
    },
  };
  const names = Object.keys(pulls) as (keyof typeof pulls)[];
  const times = new Map(names.map((name) => [name, [] as number[]]));
  const cpu = new Map(names.map((name) => [name, [] as number[]]));
  const readAll = () =>
    [process.pid, daemon.pid, resident.pid].reduce((sum: number, pid) => sum + readCpu(pid ?? 0), 0);
  try {
    // The one that runs has pulled before.
    for (let round = -1; round < Number(rounds); round += 1) {
      for (const [i] of names.entries()) {
        const name = names[(i + round + names.length) % names.length] ?? 'ctr';
        const before = readAll();
        const started = performance.now();
        await pulls[name]();
        if (round >= 0) {
          times.get(name)?.push(Math.round(performance.now() - started));
          cpu.get(name)?.push(readAll() - before);
        }
        await removeImage(channel, reference, { sync: true });
        execFileSync('sync');
      }
    }
  } finally {
    await end(resident);
  }
  console.log(
    `containerd ${daemon.version}, ${LAYERS} layers of ${FILE_MIB} MiB; at most ${Math.round(rss / 1024)} MiB resident`,
  );
  const [base, baseCpu] = [median(times.get('ctr') ?? []), median(cpu.get('ctr') ?? [])];
  for (const name of names) {
    const [own, ownCpu] = [median(times.get(name) ?? []), median(cpu.get(name) ?? [])];
    const ratio = `${(own / base).toFixed(2)} of ctr, ${(ownCpu / baseCpu).toFixed(2)} of its CPU time`;
    console.log(
      `${name.padEnd(24)}${own} ms (${times.get(name)?.join(', ')}), ${ownCpu.toFixed(1)} s of CPU time: ${ratio}`,
    );
  }
} finally {
  channel.close();
  await daemon.stop();
  await registry.stop();
}
