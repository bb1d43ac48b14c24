import { isCapability, normaliseUlimit, ulimitNames } from './names.js';
import {
  absolutePath,
  accept,
  acceptText,
  boolean,
  type Check,
  either,
  list,
  oneOf,
  shape,
  shapeOr,
  text,
  whole,
} from './schema.js';
import type { FlatPolicy, HealthCheck, IsolationPolicy, ResourceLimits } from './types.js';

export const MIB = 1024 * 1024;
/** Longer ones overflow Node's timers, which then fire at once. */
const TIMER_MS = 2 ** 31 - 1;
/** runc refuses less than it needs itself to start a container. */
const MEMORY_MB = 6;
const MAX_MB = 2 ** 31;
/** Each exec starts as runc's own process, which needs some threads: with fewer it fails now and then. */
const PIDS = 8;
/** The kernel takes no quota below 1 ms (sched-bwc.rst), and the period is 100 ms. */
const CPUS = 0.01;

const milliseconds = whole(1, TIMER_MS, 'of ms');
const capability = acceptText(isCapability, 'a name of capabilities(7), such as CAP_KILL');
const droppable = acceptText(
  (value) => isCapability(value) || /^(CAP_)?ALL$/i.test(value),
  'a name of capabilities(7), such as CAP_KILL, or ALL',
);
const cores = accept(
  (value) => typeof value === 'number' && Number.isFinite(value) && value >= CPUS,
  `a number of processors of at least ${CPUS}`,
);
const millicores = acceptText((value) => /^[1-9]\d{1,7}m$/.test(value), 'millicores');
const ulimitName = acceptText(
  (value) => ulimitNames.includes(normaliseUlimit(value)),
  `one of ${ulimitNames.join(', ')}`,
);

const resources: Record<keyof ResourceLimits, Check> = {
  cpuShares: whole(2, 262_144),
  memoryMb: whole(MEMORY_MB, MAX_MB, 'of MiB'),
  pidsLimit: whole(PIDS, 4_194_304),
  ulimits: list(shape({ type: ulimitName, soft: whole(0), hard: whole(0) }, ['type', 'soft', 'hard'])),
  timeoutMs: milliseconds,
  cpus: cores,
  memorySwapMb: whole(0, MAX_MB, 'of MiB'),
  ioWeight: whole(1, 10_000),
  diskMb: whole(1, MAX_MB, 'of MiB'),
  oomScoreAdj: whole(-1000, 1000),
};

const healthCheck: Record<keyof HealthCheck, Check> = {
  test: list(text),
  intervalMs: milliseconds,
  timeoutMs: milliseconds,
  retries: whole(1),
  startPeriodMs: whole(0, TIMER_MS, 'of ms'),
  onUnhealthy: oneOf('none', 'restart', 'kill'),
};

const mount = {
  path: absolutePath,
  readOnly: boolean,
  target: absolutePath,
  type: oneOf('bind', 'tmpfs', 'volume'),
  sizeBytes: whole(1, Number.MAX_SAFE_INTEGER, 'of bytes'),
};

const network = {
  allow: list(text),
  dns: list(text),
  ports: list(either('a port or a mapping such as 8080:80', whole(1, 65_535), text)),
  bandwidthKbps: whole(1),
};

const canonical: Record<keyof IsolationPolicy, Check> = {
  mounts: list(shape(mount, ['path', 'readOnly'])),
  networkMode: oneOf('none', 'allowlist', 'full'),
  envAllowlist: list(text),
  secrets: list(shape({ name: text, value: text, as: oneOf('file', 'env') }, ['name', 'value'])),
  resources: shape(resources),
  network: shape(network),
  readOnlyRootfs: boolean,
  user: text,
  noNewPrivileges: boolean,
  capabilities: shape({
    add: list(capability),
    drop: list(droppable),
  }),
  seccomp: shapeOr(
    'default, strict, unconfined or { path }',
    shape({ path: absolutePath }, ['path']),
    oneOf('default', 'strict', 'unconfined'),
  ),
  apparmor: text,
  userns: shapeOr('true, false or { uid, size }', shape({ uid: whole(1), size: whole(1) }, ['uid', 'size']), boolean),
  healthCheck: shape(healthCheck, ['test']),
};

const flat: Record<Exclude<keyof FlatPolicy, keyof IsolationPolicy>, Check> = {
  memory: whole(MEMORY_MB * MIB, MAX_MB * MIB, 'of bytes'),
  cpu: either(`cores, a number of at least ${CPUS}, or millicores such as 500m`, cores, millicores),
  networkIsolation: boolean,
};

export const policyFields: Check = shape({ ...canonical, ...flat });
