import { CapabilityMismatchError, createInputError, type Fault } from '../core/error.js';
import {
  absolutePath,
  boolean,
  either,
  type Findings,
  list,
  matching,
  oneOf,
  positive,
  shape,
  text,
  whole,
} from './schema.js';
import type { FlatPolicy, IsolationPolicy, ResolvedPolicy } from './types.js';

const MIB = 1024 * 1024;
const PIDS_LIMIT = 512;
/** Longer ones overflow Node's timers, which then fire at once. */
const TIMER_MS = 2 ** 31 - 1;
/** runc refuses less than it needs itself to start a container. */
const MEMORY_MB = 6;
const MAX_MB = 2 ** 31;

const capability = matching(/^(CAP_)?[A-Z_]+$/i, 'the name of a capability, such as CAP_KILL, or ALL');
const limits = 'as core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack';
const ulimit = shape(
  {
    type: matching(
      new RegExp(`^(RLIMIT_)?(${limits.replaceAll(' ', '|')})$`, 'i'),
      `one of ${limits.replaceAll(' ', ', ')}`,
    ),
    soft: whole(0),
    hard: whole(0),
  },
  ['type', 'soft', 'hard'],
);

const resources = shape({
  cpuShares: whole(2, 262_144),
  memoryMb: whole(MEMORY_MB, MAX_MB, 'of MiB'),
  pidsLimit: whole(1, 4_194_304),
  ulimits: list(ulimit),
  timeoutMs: whole(1, TIMER_MS, 'of ms'),
  cpus: positive,
  memorySwapMb: whole(0, MAX_MB, 'of MiB'),
  ioWeight: whole(1, 10_000),
  diskMb: whole(1, MAX_MB, 'of MiB'),
  oomScoreAdj: whole(-1000, 1000),
});

const canonical = {
  mounts: list(
    shape(
      {
        path: absolutePath,
        readOnly: boolean,
        target: absolutePath,
        type: oneOf('bind', 'tmpfs', 'volume'),
        sizeBytes: whole(1),
      },
      ['path', 'readOnly'],
    ),
  ),
  networkMode: oneOf('none', 'allowlist', 'full'),
  envAllowlist: list(text),
  secrets: list(shape({ name: text, value: text, as: oneOf('file', 'env') }, ['name', 'value'])),
  resources,
  network: shape({
    allow: list(text),
    dns: list(text),
    ports: list(either('a port or a mapping such as 8080:80', whole(1, 65_535), text)),
    bandwidthKbps: whole(1),
  }),
  readOnlyRootfs: boolean,
  user: text,
  noNewPrivileges: boolean,
  capabilities: shape({ add: list(capability), drop: list(capability) }),
  seccomp: either(
    'default, strict, unconfined or { path }',
    oneOf('default', 'strict', 'unconfined'),
    shape({ path: absolutePath }, ['path']),
  ),
  apparmor: text,
  userns: either('true, false or { uid, size }', boolean, shape({ uid: whole(1), size: whole(1) }, ['uid', 'size'])),
  healthCheck: shape(
    {
      test: list(text),
      intervalMs: whole(1, TIMER_MS),
      timeoutMs: whole(1, TIMER_MS),
      retries: whole(1),
      startPeriodMs: whole(0, TIMER_MS),
      onUnhealthy: oneOf('none', 'restart', 'kill'),
    },
    ['test'],
  ),
};

const flat = {
  memory: whole(MEMORY_MB * MIB, Number.MAX_SAFE_INTEGER, 'of bytes'),
  cpu: either('cores as a number above 0, or millicores such as 500m', positive, matching(/^[1-9]\d{0,7}m$/, '')),
  networkIsolation: boolean,
};

const policyShape = shape({ ...canonical, ...flat });

/**
 * Reads a policy in the canonical or the flat form from anything. Every fault is reported at once: unknown fields as a
 * `CapabilityMismatchError`, as nobody can honour them, with wrong values beside them; wrong values alone as
 * `invalid-argument`. Values of secrets are in no message.
 */
export function parsePolicy(input: unknown): ResolvedPolicy {
  const findings: Findings = { unknown: [], wrong: [] };
  policyShape(input, '', findings);
  if (findings.wrong.length + findings.unknown.length === 0) findings.wrong.push(...findContradictions(input as Both));
  const unknown = findings.unknown.map(hideSecret);
  const wrong = findings.wrong.map(hideSecret);
  if (unknown.length > 0) throw new CapabilityMismatchError('containerd', [...unknown, ...wrong]);
  if (wrong.length > 0) throw createInputError('policy', wrong);
  return resolve(input as Both);
}

type Both = IsolationPolicy & FlatPolicy;

function hideSecret(fault: Fault): Fault {
  return /^secrets\b/.test(fault.path) ? { ...fault, value: '[hidden]' } : fault;
}

/** Both forms may meet in one policy, as long as no value is said twice. */
function findContradictions({
  memory,
  cpu,
  networkIsolation,
  networkMode,
  resources: { memoryMb, cpus, memorySwapMb, ulimits = [] } = {},
}: Both): Fault[] {
  const twice = (path: string, value: unknown, other: unknown, name: string): Fault[] =>
    value === undefined || other === undefined ? [] : [{ path, value, expected: `nothing beside ${name}` }];
  return [
    ...twice('memory', memory, memoryMb, 'resources.memoryMb'),
    ...twice('cpu', cpu, cpus, 'resources.cpus'),
    ...twice('networkIsolation', networkIsolation, networkMode, 'networkMode'),
    ...(memorySwapMb !== undefined && memoryMb === undefined && memory === undefined
      ? [{ path: 'resources.memorySwapMb', value: memorySwapMb, expected: 'resources.memoryMb beside it' }]
      : []),
    ...ulimits.flatMap(({ soft, hard }, index) =>
      soft <= hard
        ? []
        : [{ path: `resources.ulimits[${index}].soft`, value: soft, expected: `at most the hard limit, ${hard}` }],
    ),
  ];
}

function resolve({ memory, cpu, networkIsolation, ...asked }: Both): ResolvedPolicy {
  const {
    memoryMb,
    memorySwapMb,
    pidsLimit = PIDS_LIMIT,
    ulimits = [],
    cpuShares,
    oomScoreAdj,
    timeoutMs,
  } = asked.resources ?? {};
  const memoryBytes = memory ?? (memoryMb === undefined ? undefined : memoryMb * MIB);
  const cpus =
    cpu === undefined ? asked.resources?.cpus : typeof cpu === 'number' ? cpu : Number(cpu.slice(0, -1)) / 1000;
  const networkMode =
    networkIsolation === undefined ? (asked.networkMode ?? 'none') : networkIsolation ? 'none' : 'full';
  return {
    networkMode,
    readOnlyRootfs: asked.readOnlyRootfs ?? false,
    noNewPrivileges: asked.noNewPrivileges ?? true,
    ...(asked.user === undefined ? {} : { user: asked.user }),
    capabilities: { add: asked.capabilities?.add ?? [], drop: asked.capabilities?.drop ?? [] },
    seccomp: asked.seccomp === 'unconfined' ? 'unconfined' : 'default',
    mounts: asked.mounts ?? [],
    resources: {
      pidsLimit,
      ulimits,
      ...(memoryBytes === undefined ? {} : { memoryBytes }),
      ...(memorySwapMb === undefined ? {} : { memorySwapBytes: memorySwapMb * MIB }),
      ...(cpus === undefined ? {} : { cpus }),
      ...(cpuShares === undefined ? {} : { cpuShares }),
      ...(oomScoreAdj === undefined ? {} : { oomScoreAdj }),
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    },
    asked,
    aliases: {
      ...(memory === undefined ? {} : { 'resources.memoryMb': 'memory' }),
      ...(cpu === undefined ? {} : { 'resources.cpus': 'cpu' }),
      ...(networkIsolation === undefined ? {} : { networkMode: 'networkIsolation' }),
    },
  };
}
