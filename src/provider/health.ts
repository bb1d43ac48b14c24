import { isExecutable } from '../core/program.js';
import { explainNoRedirect, listLacks, listWallLacks } from '../network/prerequisites.js';
import { probeServer, socketRemedy } from '../rpc/probe.js';
import { readHostFacts } from '../session/host.js';
import type { ChosenExecutor } from '../session/record.js';
import { hasOverlay } from '../session/runtime-facts.js';
import type { HostFacts } from '../spec/host.js';
import { checkContainerd, type HostCheck, judge } from '../spec/prerequisites.js';
import { nameRuntime } from '../spec/runtime.js';
import type { Connection } from './connection.js';
import { chooseExecutor } from './executor-choice.js';
import { assertHost, type ResolvedOptions } from './options.js';

/** Whether sessions can run, with what was looked at. */
export interface HealthResult {
  /** No check has failed; warnings may be among them. */
  healthy: boolean;
  /** What has failed, with remedies; else the daemon's version and address. */
  message: string;
  /** `version` is the daemon's; `checks` are all that were made. */
  details: { checks: HostCheck[]; [more: string]: unknown };
}

/** Whether sessions of this runtime can run here and now. */
export async function checkHealth(
  { channel, runtimes }: Pick<Connection, 'channel' | 'runtimes'>,
  {
    runtime,
    runtimeBinary,
    executor,
    runtimeOptions: { configPath, systemdCgroup },
    snapshotter,
  }: Pick<ResolvedOptions, 'runtime' | 'runtimeBinary' | 'executor' | 'runtimeOptions' | 'snapshotter'>,
): Promise<HealthResult> {
  const { address, namespace } = channel;
  const chosen = chooseExecutor(executor, { runtime, policy: { capabilities: { add: [], drop: [] } } });
  const checks: HostCheck[] = [];
  let more: Record<string, unknown> = {};
  const attempt = async (name: string, remedy: string, check: () => HostCheck[] | Promise<HostCheck[]>) => {
    try {
      checks.push(...(await check()));
      return true;
    } catch (error) {
      const found = error instanceof Error ? error.message : String(error);
      checks.push({ name, state: 'failed', found, remedy });
      return false;
    }
  };
  await attempt('host', 'run on Linux, as root', () => {
    assertHost();
    const host = readHostFacts();
    more = { ...host };
    return checkHost(host, { snapshotter, chosen });
  });
  // Elsewhere there is nothing to look at.
  if (process.platform === 'linux') {
    const isReachable = await attempt('containerd', socketRemedy, async () => {
      const { version } = await probeServer(channel);
      more = { ...more, version };
      return [{ ...checkContainerd(version), found: `containerd ${version} answers at ${address}` }];
    });
    const request = { runtime: nameRuntime(runtime), runtimeBinary, configPath, systemdCgroup };
    await attempt('runtime', 'see that the host can be looked at', () => runtimes.check(request, { isReachable }));
    const found = `${chosen.executor}: ${chosen.executorReason}`;
    checks.push(...checkBinary(runtimeBinary), { name: 'executor', state: 'ok', found });
  }
  const failed = checks.filter(({ state }) => state === 'failed');
  const told = failed.length > 0 ? failed : checks.filter(({ name }) => name === 'containerd');
  return {
    healthy: failed.length === 0,
    message: told.map(({ found, remedy }) => (remedy === undefined ? found : `${found}: ${remedy}`)).join('; '),
    details: { ...more, address, namespace, checks },
  };
}

/** What was chosen; a name that no runtime can have is told by its faults at creation. */
function checkBinary(runtimeBinary: string | undefined): HostCheck[] {
  if (runtimeBinary === undefined) return [];
  const remedy = 'name a program of this host by its path';
  return [judge('runtimeBinary', isExecutable(runtimeBinary), { found: runtimeBinary, remedy })];
}

async function checkHost(
  { initPath, cgroup, seccomp }: HostFacts,
  { snapshotter, chosen }: { snapshotter: string; chosen: ChosenExecutor },
): Promise<HostCheck[]> {
  const found = (holds: boolean) => (holds ? 'there' : 'not there');
  const checks: HostCheck[] = [
    judge('init', initPath !== undefined, {
      found: initPath ?? 'no static init',
      remedy: 'install catatonit',
      // A supervisor is one.
      otherwise: chosen.executor === 'supervisor' ? 'warning' : 'failed',
    }),
    { name: 'cgroup', state: 'ok', found: cgroup },
    judge('seccomp', seccomp, {
      found: found(seccomp),
      remedy: 'use a kernel that filters system calls: only policies with seccomp unconfined run without',
    }),
  ];
  const lacks = listLacks();
  checks.push(
    judge('network', lacks.length === 0, {
      found: lacks.length === 0 ? 'plugins of CNI are there' : `not there: ${lacks.join(', ')}`,
      remedy: 'install containernetworking-plugins, iproute2 and iptables: sessions run with networkMode none alone',
      otherwise: 'warning',
    }),
  );
  const wall = listWallLacks();
  const redirect = wall.length === 0 ? await explainNoRedirect() : undefined;
  checks.push(
    judge('allowlist', wall.length === 0 && redirect === undefined, {
      found: redirect ?? (wall.length === 0 ? 'the helper and TPROXY are there' : `not there: ${wall.join(', ')}`),
      remedy:
        'install util-linux, iproute2 and iptables, and use a kernel with xt_TPROXY: networkMode allowlist is refused',
      otherwise: 'warning',
    }),
  );
  if (snapshotter !== 'overlayfs') return checks;
  const overlay = hasOverlay();
  const remedy = 'load the module overlay';
  return [...checks, judge('overlayfs', overlay, { found: found(overlay), remedy, otherwise: 'warning' })];
}
