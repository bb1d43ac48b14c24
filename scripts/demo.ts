// What `npm run demo` shows: one session from the image to its last trace, step by step, each with its time.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NamespacesService } from '../src/generated/github.com/containerd/containerd/api/services/namespaces/v1/namespace.js';
import { removeImage } from '../src/image/image.js';
import { ContainerdProvider } from '../src/index.js';
import { Channel } from '../src/rpc/channel.js';
import { BUSYBOX_REFERENCE, buildDockerArchive } from '../test/support/busybox.js';
import { nameNamespace, startDaemon } from '../test/support/daemon.js';
import { observe, settle } from '../test/support/leaks.js';

const namespace = nameNamespace();
const started = performance.now();
let last = started;

function tell(step: string, text: string): void {
  const now = performance.now();
  process.stdout.write(
    `${(now - last).toFixed(0).padStart(6)} ms  ${step.padEnd(10)} ${text.trimEnd().replaceAll('\n', `\n${' '.repeat(22)}`)}\n`,
  );
  last = now;
}

async function show(address: string, directory: string): Promise<void> {
  const stateRoot = join(directory, 'sessions');
  const scope = { address, root: directory, namespace, stateRoot };
  await using provider = new ContainerdProvider({ image: BUSYBOX_REFERENCE, address, namespace, stateRoot });
  const { healthy, message } = await provider.healthCheck();
  if (!healthy) throw new Error(message);
  tell('health', message);

  const archive = join(directory, 'busybox.tar');
  writeFileSync(archive, buildDockerArchive());
  const [image] = await provider.importImage(archive);
  tell('image', `${image?.name} ${image?.target.digest.slice(0, 19)}`);
  const before = await observe(scope);

  const session = await provider.createSession({
    networkMode: 'none',
    readOnlyRootfs: true,
    resources: { memoryMb: 256, cpus: 1, pidsLimit: 64 },
    env: { GREETING: 'hello from inside' },
  });
  tell('session', `${session.sessionId} on ${session.runtime}`);

  const run = async (script: string, options = {}) => {
    const { exitCode, stdout, stderr, timedOut } = await session.exec('sh', ['-c', script], options);
    const outcome = timedOut ? 'timed out' : `exit ${exitCode}`;
    tell('exec', `${script}\n${stdout}${stderr}-> ${outcome}`);
  };
  await run('id; echo $GREETING');
  await run('cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; nproc');
  await run('ls /no/such/file; exit 7');
  await run('touch /file');
  await run('ip -o link; ping -c 1 -W 1 192.0.2.1');
  await run('(sleep 60 &) ; sleep 60', { timeoutMs: 300 });
  await session.destroy();
  tell('destroy', session.sessionId);

  const after = await settle(scope, before);
  if (JSON.stringify(after) !== JSON.stringify(before)) throw new Error(`left behind: ${JSON.stringify(after)}`);
  tell('left', 'nothing: containers, tasks, snapshots, leases, shims, mounts, cgroups and FIFOs are as before');
}

/** On a containerd that is somebody's, the demo takes its image and its namespace away again. */
async function showOn(address: string): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'cadre-demo-'));
  const channel = new Channel({ address, namespace });
  try {
    await show(address, directory);
    await removeImage(channel, BUSYBOX_REFERENCE, { sync: true });
    await channel.unary(NamespacesService.delete, { name: namespace });
    tell('cleaned', `image and namespace ${namespace} are removed`);
  } finally {
    channel.close();
    rmSync(directory, { recursive: true });
  }
}

async function showOnPrivate(): Promise<void> {
  const daemon = await startDaemon();
  try {
    tell('containerd', `a private one, ${daemon.version}`);
    await show(daemon.address, daemon.root);
  } finally {
    await daemon.stop();
  }
  tell('cleaned', 'the private containerd is gone');
}

const { CONTAINERD_ADDRESS: asked } = process.env;
try {
  await (asked ? showOn(asked) : showOnPrivate());
  tell('total', `${((performance.now() - started) / 1000).toFixed(1)} s`);
} catch (error) {
  process.stderr.write(`demo: ${(error as Error).message}\n`);
  process.exitCode = 1;
}
