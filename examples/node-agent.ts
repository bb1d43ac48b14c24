// An agent on a Kubernetes node: finds the node's containerd, tells of its health and its sessions in lines of JSON, and
// removes what nobody owns any more. With --once it does so one time. docs/operations.md has what its pod needs.
import { setTimeout as sleep } from 'node:timers/promises';
import { ContainerdProvider, DriverError, resolveIsolation } from '@cadre-dev/runtime-provider-containerd';

const INTERVAL_MS = 60_000;

const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());

function tell(kind: string, facts: object): void {
  console.log(JSON.stringify({ kind, ...facts }));
}

/** One look at the node. */
async function look(provider: ContainerdProvider): Promise<void> {
  const { healthy, message } = await provider.healthCheck();
  tell('health', { healthy, message });
  if (!healthy) return;
  for await (const { sessionId, name, state, image, metadata } of provider.list()) {
    tell('session', { name, state, image, metadata });
    if (state !== 'running') continue;
    const session = await provider.connect(sessionId);
    const { memoryBytes, memoryLimitBytes, pids } = await session.stats();
    tell('usage', { name, pids, isNearLimit: memoryBytes > 0.9 * memoryLimitBytes });
  }
  const { sessions, failures } = await provider.reap();
  tell('reaped', { sessions: sessions.length, failures: failures.map(({ what }) => what) });
}

// CONTAINERD_ADDRESS and CONTAINERD_NAMESPACE win; `auto` knows the sockets of containerd, k3s, rke2, microk8s and k0s.
const options = resolveIsolation({ containerOptions: { image: 'none', address: 'auto', pull: 'never' } });
if (options === undefined) throw new Error('isolation is switched off');
const provider = new ContainerdProvider(options);
try {
  do {
    try {
      await look(provider);
    } catch (error) {
      // A session that ended meanwhile, a daemon that restarts: the next look tells.
      if (!(error instanceof DriverError)) throw error;
      tell('failure', { code: error.code, message: error.message });
    }
    if (process.argv.includes('--once')) break;
    await sleep(INTERVAL_MS, undefined, { signal: stop.signal }).catch(() => undefined);
  } while (!stop.signal.aborted);
} finally {
  await provider.close(); // sessions are their owners'
}
