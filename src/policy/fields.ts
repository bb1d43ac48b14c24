import { capabilityNames, ulimitNames } from './names.js';
import { addressPattern, portPattern } from './ports.js';
import { builtInProfiles } from './profiles.js';
import { hide, TIMER_MS } from './rule.js';
import {
  absolutePath,
  atLeast,
  boolean,
  either,
  type Field,
  ignoreCase,
  list,
  oneOf,
  pattern,
  shape,
  shapeOr,
  text,
  whole,
} from './schema.js';
import { sysctls } from './sysctls.js';
import type { FlatPolicy, HealthCheck, IsolationPolicy, Layer, NetworkRules, ResourceLimits } from './types.js';

export const MIB = 1024 * 1024;
/** runc refuses less than it needs itself to start a container. */
const MEMORY_MB = 6;
const MAX_MB = 2 ** 31;
/** Each exec starts as runc's own process, which needs some threads: with fewer it fails now and then. */
const PIDS = 8;
/** The kernel takes no quota below 1 ms (sched-bwc.rst), and the period is 100 ms. */
const CPUS = 0.01;
/** Characters. A secret is held in memory. */
const SECRET_LENGTH = 1024 * 1024;

/** Of a volume, a secret: without a slash or a dot at its beginning it leads to no other directory. */
export const fileName = pattern(
  '^[A-Za-z0-9_][A-Za-z0-9._-]*$',
  'at most 128 letters, digits and _ . -, the first no . or -',
  128,
);
const variableName = pattern('^[A-Za-z_][A-Za-z0-9_]*$', 'the name of a variable, as there are no patterns', 256);

const milliseconds = whole(1, TIMER_MS, 'of ms');
const capability = pattern(
  `^(?:[Cc][Aa][Pp]_)?${ignoreCase(capabilityNames)}$`,
  'a name of capabilities(7), such as CAP_KILL',
);
const droppable = pattern(
  `^(?:[Cc][Aa][Pp]_)?${ignoreCase([...capabilityNames, 'ALL'])}$`,
  'a name of capabilities(7), such as CAP_KILL, or ALL',
);
const cores = either(
  `cores, a number of at least ${CPUS}, or millicores such as 500m`,
  atLeast(CPUS, 'cores'),
  // From the 10 millicores that are as many as the least number of cores.
  pattern('^[1-9]\\d{1,7}m$', 'millicores'),
);
const ulimitName = pattern(
  `^(?:[Rr][Ll][Ii][Mm][Ii][Tt]_)?${ignoreCase(ulimitNames)}$`,
  `one of ${ulimitNames.join(', ')}`,
);

const resources: Record<keyof ResourceLimits, Field> = {
  cpuShares: whole(2, 262_144),
  memoryMb: whole(MEMORY_MB, MAX_MB, 'of MiB'),
  pidsLimit: whole(PIDS, 4_194_304),
  ulimits: list(shape({ type: ulimitName, soft: whole(0), hard: whole(0) }, ['type', 'soft', 'hard'])),
  timeoutMs: milliseconds,
  cpus: cores,
  memorySwapMb: whole(0, MAX_MB, 'of MiB'),
  ioWeight: whole(10, 1000),
  diskMb: whole(1, MAX_MB, 'of MiB'),
  oomScoreAdj: whole(-1000, 1000),
};

const healthCheck: Record<keyof HealthCheck, Field> = {
  test: list(text()),
  intervalMs: milliseconds,
  timeoutMs: milliseconds,
  retries: whole(1),
  startPeriodMs: whole(0, TIMER_MS, 'of ms'),
  onUnhealthy: oneOf('none', 'restart', 'kill'),
};

const mount = {
  path: either('an absolute path below /, without . .. or empty parts; the name of a volume', absolutePath, fileName),
  readOnly: boolean,
  target: absolutePath,
  type: oneOf('bind', 'tmpfs', 'volume'),
  sizeBytes: whole(1, Number.MAX_SAFE_INTEGER, 'of bytes'),
};

/** Below the least, packets wait longer than connections do; the most is what the plugin's burst can count. */
const kbps = whole(64, 10_000_000, 'of kbit/s');

const network: Record<keyof NetworkRules, Field> = {
  name: fileName,
  allow: list(text()),
  dns: list(pattern(addressPattern, 'an IP address')),
  ports: list(
    either(
      'a port or a mapping such as 8080:80, 8000-8010:8000-8010, 53:53/udp or 0.0.0.0:8080:80',
      whole(1, 65_535),
      pattern(portPattern, 'a mapping'),
    ),
  ),
  bandwidthKbps: shapeOr('a number of kbit/s or { in, out }', shape({ in: kbps, out: kbps }), kbps),
};

/** Ids of images: up to nobody and its neighbour. Of the host they are its own accounts. */
const IDS = 65_536;
const ids = whole(IDS, 2 ** 32 - 1 - IDS);

const canonical: Record<keyof Layer, Field> = {
  mounts: list(shape(mount, ['path', 'readOnly'])),
  networkMode: oneOf('none', 'allowlist', 'full'),
  envAllowlist: list(variableName),
  secrets: hide(
    list(shape({ name: fileName, value: text(SECRET_LENGTH), as: oneOf('file', 'env') }, ['name', 'value'])),
  ),
  resources: shape(resources),
  network: shape(network),
  readOnlyRootfs: boolean,
  user: text(),
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
  apparmor: text(),
  userns: shapeOr('true, false or { uid, size }', shape({ uid: ids, size: ids }, ['uid', 'size']), boolean),
  sysctls,
  healthCheck: shape(healthCheck, ['test']),
};

const flat: Record<Exclude<keyof FlatPolicy, keyof IsolationPolicy>, Field> = {
  memory: whole(MEMORY_MB * MIB, MAX_MB * MIB, 'of bytes'),
  cpu: cores,
  networkIsolation: boolean,
};

/** Of a policy that names no profile. */
export const layerKeys = { ...canonical, ...flat };

export const policyKeys = {
  // Own profiles are known where they are given; the built-in names are what an editor can complete.
  profile: either('the name of a profile', oneOf(...Object.keys(builtInProfiles)), text(61)),
  ...layerKeys,
};
