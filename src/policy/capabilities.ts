import type { Fault } from '../core/error.js';
import { type Feature, features, listDemands } from './features.js';
import { MIB } from './fields.js';
import { HOST_NETWORK } from './ports.js';
import { classifyRuntime, dropped } from './runtimes.js';
import type { MountSpec, NetworkMode, ResolvedPolicy } from './types.js';

/** Where sessions are to run, as far as it is known. What is unknown is refused when it is: by the daemon or by the kernel. */
export interface Place {
  /** Processors of the host. */
  cpus: number;
  /** Memory of the host. */
  memoryBytes: number;
  /** The kernel counts swap by cgroup. Without it a limit of swap would limit nothing. Defaults to true. */
  swapAccounting?: boolean;
  /** All disks share by weight. Defaults to true. */
  ioWeight?: boolean;
  /** System calls can be filtered. Defaults to true. */
  seccomp?: boolean;
  /** Profiles of AppArmor can be applied. Defaults to true. */
  apparmor?: boolean;
  /** User namespaces can be made. Defaults to true. */
  userns?: boolean;
  /** Plugins of CNI and the programs that they stand on are there. Defaults to true. */
  network?: boolean;
  /** What an allowlist stands on is there. Defaults to true. */
  allowlist?: boolean;
  /** The provider allows the host's own network. Defaults to true. */
  hostNetwork?: boolean;
  /** overlayfs takes layers whose ids are mapped. Defaults to true. */
  idmap?: boolean;
  /** Name of the runtime. Defaults to `runc`. */
  runtime?: string;
  /** containerd's name of it. Defaults to `overlayfs`. */
  snapshotter?: string;
  /** Version of the daemon; undefined until one has answered. */
  containerd?: string | undefined;
}

const nothing = 'nothing, as this version does not enforce it';

/** What the schema knows and no code enforces, with what is accepted instead. Enforcing one is to delete its line. */
const notYet: Partial<Record<Feature, string>> = {
  healthCheck: nothing,
  'resources.diskMb': 'nothing, as no snapshotter has a quota through the API of containerd',
};

/** Also where the kernel turns out to lack it, which is tried once. */
export const NO_ALLOWLIST =
  'none, as this host lacks nsenter, ip, iptables with TPROXY or the helper of this package: install util-linux, iproute2 and iptables, and a kernel with xt_TPROXY';

const unfiltered = 'unconfined, as this host cannot filter system calls';

/** What of a host a feature stands on: the fact, and what is accepted where it does not hold. */
const needs: Partial<
  Record<
    Feature,
    [
      fact: 'seccomp' | 'apparmor' | 'userns' | 'swapAccounting' | 'ioWeight' | 'network' | 'allowlist' | 'hostNetwork',
      expected: string,
    ]
  >
> = {
  'seccomp.default': ['seccomp', unfiltered],
  'seccomp.strict': ['seccomp', unfiltered],
  'seccomp.path': ['seccomp', unfiltered],
  apparmor: ['apparmor', 'nothing, as AppArmor is not enabled on this host'],
  'networkMode.full': [
    'network',
    'none, as this host lacks plugins of CNI, ip or iptables: install containernetworking-plugins, iproute2 and iptables',
  ],
  'networkMode.allowlist': ['allowlist', NO_ALLOWLIST],
  'network.host': ['hostNetwork', "another network, as the provider's option allowHostNetwork is not set"],
  userns: ['userns', 'false, as this host makes no user namespaces'],
  'resources.ioWeight': [
    'ioWeight',
    'nothing, as not all disks of this host are scheduled by bfq, and a weight does nothing there',
  ],
  'resources.memorySwapMb': ['swapAccounting', 'no limit of swap, as the kernel of this host does not count it'],
};

/** Why the image's files cannot be those of the ids that a user namespace has. */
function explainUnmapped({ idmap, snapshotter = 'overlayfs', containerd = '' }: Place): string | undefined {
  if (idmap === false)
    return 'false, as overlayfs of this kernel takes no layers with mapped ids: Linux 5.19 and later do';
  if (snapshotter !== 'overlayfs') return `false, as snapshotter ${snapshotter} does not map ids: overlayfs does`;
  // What it cannot tell of its layers is found out by their mounts.
  if (!/^v?[01]\./.test(containerd)) return undefined;
  return `false, as containerd ${containerd} does not map the ids of its layers: 2.0 and later do`;
}

/** What would be accepted instead of a feature; undefined where it is honoured. */
function explain(feature: Feature, place: Place, isDefault = false): string | undefined {
  const [fact, expected] = needs[feature] ?? [];
  if (notYet[feature] !== undefined) return notYet[feature];
  if (fact !== undefined && place[fact] === false) return expected;
  const unmapped = feature === 'userns' ? explainUnmapped(place) : undefined;
  if (unmapped !== undefined) return unmapped;
  // What a runtime drops of the defaults is what that runtime is; what was asked for is not to be lost silently.
  return isDefault ? undefined : dropped[classifyRuntime(place.runtime ?? 'runc')][feature];
}

/** Everything asked for that could not be enforced, with why. Empty when the whole policy can be honoured. */
export function findMismatches(policy: ResolvedPolicy, place: Place): Fault[] {
  const { aliases, mounts } = policy;
  const faults = listDemands(policy).flatMap(({ feature, path, value, isDefault }): Fault[] => {
    const expected = explain(feature, place, isDefault);
    const given = path === 'networkMode' && aliases.networkMode ? false : value;
    return expected === undefined ? [] : [{ path: aliases[path] ?? path, value: given, expected }];
  });
  return [
    ...faults,
    ...mounts.flatMap(findTaken),
    ...findForeign(policy),
    ...findUngated(policy),
    ...findShortages(policy, place),
  ];
}

/** runc refuses /proc too, but only once everything has been made; the others are what the session itself stands on. */
function findTaken({ type, path, target = path }: MountSpec, index: number): Fault[] {
  const isTaken = /^\/(proc|sys|dev)(\/|$)/.test(target) && !(type === 'tmpfs' && target === '/dev/shm');
  const expected = 'a place outside /proc, /sys and /dev, or a tmpfs at /dev/shm';
  return isTaken ? [{ path: `mounts[${index}]`, value: target, expected }] : [];
}

/** The kernel shows /sys to none but the owner of the network namespace (user_namespaces(7)). */
function findForeign({ asked, userns }: ResolvedPolicy): Fault[] {
  if (userns === undefined || asked.network?.name !== HOST_NETWORK) return [];
  const expected = 'another network, as a session with a user namespace cannot have the one of the host';
  return [{ path: 'network.name', value: HOST_NETWORK, expected }];
}

/** What a session with an allowlist has no use for: its one link ends at its gate. */
function findUngated({ asked: { network = {} }, networkMode }: ResolvedPolicy): Fault[] {
  if (networkMode !== 'allowlist') return [];
  const expected = {
    name: 'nothing, as a session with an allowlist is in no network but its own',
    ports: 'nothing, as nobody reaches a session with an allowlist: session.forward() leads to its ports',
    bandwidthKbps: 'nothing, as the link of a session with an allowlist has no limits',
  };
  return (['name', 'ports', 'bandwidthKbps'] as const).flatMap((key) =>
    network[key] === undefined ? [] : [{ path: `network.${key}`, value: network[key], expected: expected[key] }],
  );
}

/** Limits that this host cannot reach, which would be no limits. */
function findShortages({ asked, aliases, resources }: ResolvedPolicy, place: Place): Fault[] {
  const { cpus, memoryBytes } = resources;
  const faults: Fault[] = [];
  if (cpus !== undefined && cpus > place.cpus) {
    const path = aliases['resources.cpus'] ?? 'resources.cpus';
    faults.push({ path, value: cpus, expected: `at most ${place.cpus}, which this host has` });
  }
  if (memoryBytes !== undefined && memoryBytes > place.memoryBytes) {
    const path = aliases['resources.memoryMb'] ?? 'resources.memoryMb';
    const most = path === 'memory' ? `${place.memoryBytes} bytes` : `${Math.floor(place.memoryBytes / MIB)} MiB`;
    const value = path === 'memory' ? memoryBytes : asked.resources?.memoryMb;
    faults.push({ path, value, expected: `at most ${most}, which this host has` });
  }
  return faults;
}

/** What a session can be given at one place. The first five are what the framework compares a policy with. */
export interface Capabilities {
  /** Files and directories of the host. */
  mounts: boolean;
  /** Those that a session can have. */
  networkModes: NetworkMode[];
  /** Variables of the host by name. */
  envAllowlist: boolean;
  /** Secrets as files and as variables. */
  secrets: boolean;
  /** Memory and processor at least; what else is limited, `unsupported` tells. */
  resources: boolean;
  /** What is refused here, such as `resources.diskMb` or `seccomp.strict`, each with what is accepted instead. */
  unsupported: Partial<Record<Feature, string>>;
  /** What the answer stands on. */
  place: Place;
}

const networkModes: NetworkMode[] = ['none', 'allowlist', 'full'];

/** What a place can do, from the same tables that a policy is compared with. */
export function describeCapabilities(place: Place): Capabilities {
  const refused = features.flatMap((feature) => {
    const expected = explain(feature, place);
    return expected === undefined ? [] : [[feature, expected] as const];
  });
  const unsupported: Partial<Record<Feature, string>> = Object.fromEntries(refused);
  const isHonoured = (...some: Feature[]) => some.every((feature) => unsupported[feature] === undefined);
  return {
    mounts: isHonoured('mounts.bind'),
    networkModes: networkModes.filter((mode) => isHonoured(`networkMode.${mode}`)),
    envAllowlist: isHonoured('envAllowlist'),
    secrets: isHonoured('secrets'),
    resources: isHonoured('resources.memoryMb', 'resources.cpus'),
    unsupported,
    place,
  };
}
