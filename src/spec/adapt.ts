import { classifyRuntime } from '../policy/runtimes.js';
import type { ResolvedPolicy } from '../policy/types.js';
import type { HostFacts } from './host.js';
import { buildResources } from './resources.js';
import { keepGroup, needsNetworkPath, type RuntimeOptions } from './runtime.js';
import type { OciResources, OciSpec } from './types.js';

const MIB = 1024 * 1024;
const PREFIX = 'io.katacontainers.config.';

/** What the document of a session depends on of the runtime that it is for. */
export interface RuntimePlace {
  runtime: string;
  runtimeOptions?: RuntimeOptions | undefined;
  /** With the limits that hold now. */
  policy: ResolvedPolicy;
  /** Of the network namespace, for a runtime that has to be given one. */
  networkPath: string;
  host: HostFacts;
}

/**
 * The same session's document for a runtime, which may be another than the one that it was made for: what the runtime
 * would drop is left out, and what it needs is there.
 */
export function adaptSpec(spec: OciSpec, place: RuntimePlace): OciSpec {
  const { runtime, networkPath, policy, host } = place;
  const isKata = classifyRuntime(runtime) === 'kata';
  const { annotations: before, ...plain } = spec;
  const resources = isKata ? keepGuestLimits(spec.linux.resources) : buildResources(policy, host);
  const annotations = isKata ? buildAnnotations(spec, place) : keepGroup(before);
  const isSized = isKata && place.runtimeOptions?.sizing === 'annotations';
  return {
    ...plain,
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    linux: {
      ...spec.linux,
      namespaces: spec.linux.namespaces.map(({ type, path }) => {
        // What it is plugged into stays.
        const isKept = type !== 'network' || (path !== undefined && policy.networkMode !== 'none');
        if (isKept) return path === undefined ? { type } : { type, path };
        return needsNetworkPath(runtime) ? { type, path: networkPath } : { type };
      }),
      // Present even where it is empty: the Go shim of Kata takes it for granted.
      resources: isSized ? keepShares(resources) : resources,
    },
  };
}

/** Both shims of Kata drop limits of pids, devices and block I/O without a word; a guest has no swap of the host. */
export function keepGuestLimits({ memory, cpu }: OciResources): OciResources {
  return {
    ...(memory?.limit === undefined ? {} : { memory: { limit: memory.limit } }),
    ...(cpu === undefined ? {} : { cpu }),
  };
}

/** The size of the machine is the limit then; its cgroup inside has none of its own. */
function keepShares({ cpu }: OciResources): OciResources {
  return cpu?.shares === undefined ? {} : { cpu: { shares: cpu.shares } };
}

function buildAnnotations({ linux }: OciSpec, { policy, runtimeOptions }: RuntimePlace): Record<string, string> {
  const { memoryBytes, cpus } = policy.resources;
  const isSized = runtimeOptions?.sizing === 'annotations';
  return {
    // `disable_guest_seccomp = true` is how Kata is delivered, which drops the profile without a word.
    ...(linux.seccomp === undefined ? {} : { [`${PREFIX}runtime.disable_guest_seccomp`]: 'false' }),
    ...(isSized && memoryBytes !== undefined
      ? { [`${PREFIX}hypervisor.default_memory`]: String(memoryBytes / MIB) }
      : {}),
    ...(isSized && cpus !== undefined
      ? { [`${PREFIX}hypervisor.default_vcpus`]: String(cpus), [`${PREFIX}hypervisor.default_max_vcpus`]: String(cpus) }
      : {}),
  };
}
