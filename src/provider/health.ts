import { isExecutable } from '../core/program.js';
import type { Channel } from '../rpc/channel.js';
import { probeServer } from '../rpc/probe.js';
import { readHostFacts } from '../session/host.js';
import { hasOverlay, readRuntimeFacts } from '../session/runtime-facts.js';
import type { HostFacts } from '../spec/host.js';
import { checkRuntime, type HostCheck, judge } from '../spec/prerequisites.js';
import { assertHost, type ResolvedOptions } from './options.js';

export interface HealthResult {
  healthy: boolean;
  message: string;
  /** `version` is the daemon's; `checks` are all that were made. */
  details: { checks: HostCheck[]; [more: string]: unknown };
}

/** Whether sessions of this runtime can run here and now. */
export async function checkHealth(
  channel: Channel,
  { runtime, runtimeBinary, snapshotter }: Pick<ResolvedOptions, 'runtime' | 'runtimeBinary' | 'snapshotter'>,
): Promise<HealthResult> {
  const { address, namespace } = channel;
  const checks: HostCheck[] = [];
  let more: Record<string, unknown> = {};
  try {
    assertHost();
    const host = readHostFacts();
    more = { ...host };
    checks.push(...checkHost(host, snapshotter));
  } catch (error) {
    checks.push(fail('host', error, 'run on Linux, as root'));
  }
  if (runtimeBinary !== undefined) {
    const remedy = 'name a program of this host by its path';
    checks.push(judge('runtimeBinary', isExecutable(runtimeBinary), { found: runtimeBinary, remedy }));
  }
  try {
    checks.push(...checkRuntime(runtime, await readRuntimeFacts(runtime)));
  } catch (error) {
    checks.push(fail('runtime', error, 'see that runc --version works'));
  }
  try {
    const { version } = await probeServer(channel);
    more = { ...more, version };
    checks.push({ name: 'containerd', state: 'ok', found: `containerd ${version} answers at ${address}` });
  } catch (error) {
    checks.push(fail('containerd', error, 'start containerd, or name its socket with CONTAINERD_ADDRESS'));
  }
  const failed = checks.filter(({ state }) => state === 'failed');
  const told = failed.length > 0 ? failed : checks.filter(({ name }) => name === 'containerd');
  return {
    healthy: failed.length === 0,
    message: told.map(({ found, remedy }) => (remedy === undefined ? found : `${found}: ${remedy}`)).join('; '),
    details: { ...more, address, namespace, checks },
  };
}

function checkHost({ initPath, cgroup, seccomp }: HostFacts, snapshotter: string): HostCheck[] {
  const found = (holds: boolean) => (holds ? 'there' : 'not there');
  const checks: HostCheck[] = [
    judge('init', initPath !== undefined, { found: initPath ?? 'no static init', remedy: 'install catatonit' }),
    { name: 'cgroup', state: 'ok', found: cgroup },
    judge('seccomp', seccomp, {
      found: found(seccomp),
      remedy: 'use a kernel that filters system calls: only policies with seccomp unconfined run without',
    }),
  ];
  if (snapshotter !== 'overlayfs') return checks;
  const overlay = hasOverlay();
  const remedy = 'load the module overlay';
  return [...checks, judge('overlayfs', overlay, { found: found(overlay), remedy, otherwise: 'warning' })];
}

function fail(name: string, error: unknown, remedy: string): HostCheck {
  return { name, state: 'failed', found: error instanceof Error ? error.message : String(error), remedy };
}
