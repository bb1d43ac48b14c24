// What `npm run demo` shows: one session from the image to its last trace, step by step, each with its time.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ContainerdProvider } from '../src/index.js';
import { BUSYBOX_REFERENCE, buildDockerArchive } from '../test/support/busybox.js';
import { type Daemon, nameNamespace, startDaemon } from '../test/support/daemon.js';
import { observe, settle } from '../test/support/leaks.js';

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
  const namespace = nameNamespace();
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

const asked = process.env.CONTAINERD_ADDRESS;
let daemon: Daemon | undefined;
try {
  daemon = await startDaemon();
  tell('containerd', asked ? `${asked}, as CONTAINERD_ADDRESS asks` : `a private one, ${daemon.version}`);
  await show(asked ?? daemon.address, daemon.root);
} finally {
  await daemon?.stop();
}
tell('total', `${((performance.now() - started) / 1000).toFixed(1)} s, and the private containerd is gone`);
