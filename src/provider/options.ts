import { DriverError } from '../core/error.js';
import { type RegistryOptions, registryRule } from '../image/registry/options.js';
import { buildBase, listDefaultRules, type PolicyBase, type PolicyDefaults } from '../policy/defaults.js';
import { accept, checkOptions, hide, isRecord, type Rule, TIMER_MS } from '../policy/rule.js';
import { absolutePath, boolean, type Field, list, oneOf, pattern, shape, text, whole } from '../policy/schema.js';
import { CALL_TIMEOUT_MS } from '../rpc/channel.js';
import type { AuditSink } from '../session/audit/event.js';
import type { ExecutorChoice } from '../session/record.js';
import type { RuntimeOptions } from '../spec/runtime.js';

/** How a provider is set up. */
export interface ProviderOptions extends PolicyDefaults {
  /** Reference of the image that sessions start from, such as `busybox:1.36`. */
  image: string;
  /** Socket of containerd, a path or a `unix://` URI. Defaults to CONTAINERD_ADDRESS, else /run/containerd/containerd.sock. */
  address?: string;
  /** containerd namespace. Defaults to CONTAINERD_NAMESPACE, else `cadre`. */
  namespace?: string;
  /**
   * `runc`, `kata`, a name of containerd's such as `io.containerd.kata-qemu.v2`, or the absolute path of a shim. Defaults
   * to `runc`; none is ever replaced by another.
   */
  runtime?: string;
  /** Path of a program with runc's command line, such as crun, that runc's shim is to run. Defaults to runc. */
  runtimeBinary?: string;
  /** What starts commands in sessions that do not say themselves, see `SessionOptions.executor`. Defaults to `auto`. */
  executor?: ExecutorChoice;
  /** What runtimes are told beside the session's document. */
  runtimeOptions?: RuntimeOptions;
  /**
   * Ms that another runtime than runc may take to make a session: such a call may never return. What is left of one that
   * took longer is removed. Defaults to 180,000.
   */
  createTimeoutMs?: number;
  /**
   * Ms that containerd may take for a call that looks or notes; on a disk that does much else its notes take seconds. What
   * runs or moves something has times of its own. Defaults to 10,000.
   */
  callTimeoutMs?: number;
  /** containerd's snapshotter. Defaults to `overlayfs`. */
  snapshotter?: string;
  /**
   * When a session's image is pulled from its registry: `missing` when the namespace does not have it, `always` before
   * each session, or `never`. Defaults to `missing`.
   */
  pull?: PullPolicy;
  /** How registries are reached. */
  registry?: RegistryOptions;
  /** Root-only directory for FIFOs, on a file system that has them. Defaults to /run/cadre-containerd. */
  stateRoot?: string;
  /** Root-only directory for the data of volumes, which outlives sessions. Defaults to /var/lib/cadre-containerd/volumes. */
  volumeRoot?: string;
  /** Directory of the host that every session sees at /workspace, may write, and begins in. */
  worktreePath?: string;
  /**
   * Sources of mounts that sessions may have although they expose the host, each by its exact path without links. Every
   * use is told by a process warning, `CADRE_HOST_PATH`. Defaults to none.
   */
  allowHostPaths?: readonly string[];
  /** Sessions may ask for the host's own network, with `network: { name: 'host' }`. Defaults to false. */
  allowHostNetwork?: boolean;
  /** Where variables of a policy's `envAllowlist` are read. Defaults to this process's environment. */
  hostEnv?: Readonly<Record<string, string | undefined>>;
  /** Where what happens to sessions is told, such as a `JsonlAuditSink`. Defaults to nowhere. */
  audit?: AuditSink;
  /** Whom events name as the one who asked, beside user and process. */
  actor?: string;
  /**
   * What becomes of a create, an exec or an update whose event the sink does not take: `refuse` does not begin it
   * (`failed-precondition`), `warn` goes on. What ends something goes on in any case. Whatever went on has its event in
   * a process warning, `CADRE_AUDIT`. Defaults to `refuse`.
   */
  auditFailure?: 'refuse' | 'warn';
}

/** See `ProviderOptions.pull`. */
export type PullPolicy = 'missing' | 'always' | 'never';

type Optional = 'runtimeBinary' | 'worktreePath' | 'audit' | 'actor';

export type ResolvedOptions = Required<Omit<ProviderOptions, keyof PolicyDefaults | Optional>> &
  Pick<ProviderOptions, Optional> & { base: PolicyBase };

/** The grammar and the length are those of containerd's identifiers. */
export const identifier = pattern(
  '^[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*$',
  'at most 76 letters and digits, with single . _ - between them',
  76,
);

const runtimeKeys: Record<keyof RuntimeOptions, Field> = {
  configPath: absolutePath,
  systemdCgroup: boolean,
  shimCgroup: absolutePath,
  sizing: oneOf('limits', 'annotations'),
};

export const providerFields: Record<Exclude<keyof ProviderOptions, keyof PolicyDefaults | 'registry'>, Field> = {
  image: text(),
  address: text(),
  namespace: identifier,
  runtime: text(),
  runtimeBinary: absolutePath,
  executor: oneOf('auto', 'task', 'supervisor'),
  runtimeOptions: shape(runtimeKeys),
  createTimeoutMs: whole(1, TIMER_MS, 'of ms'),
  callTimeoutMs: whole(1, TIMER_MS, 'of ms'),
  snapshotter: identifier,
  pull: oneOf('missing', 'always', 'never'),
  stateRoot: absolutePath,
  volumeRoot: absolutePath,
  worktreePath: absolutePath,
  allowHostPaths: list(absolutePath),
  allowHostNetwork: boolean,
  audit: {
    ...accept(isSink, 'an object with a function write'),
    schema: { type: 'object' },
  },
  actor: text(200),
  auditFailure: oneOf('refuse', 'warn'),
  // By its values: the process's own is no plain object.
  hostEnv: hide({
    ...accept((value) => typeof value === 'object' && value !== null, 'an object of texts'),
    schema: { type: 'object' },
  }),
};

function isSink(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'write' in value && typeof value.write === 'function';
}

/** Completes and checks the options; every fault is reported at once. */
export function resolveOptions(options: ProviderOptions, env: NodeJS.ProcessEnv = process.env): ResolvedOptions {
  const given = isRecord(options) ? Object.entries(options).filter(([, value]) => value !== undefined) : [];
  const completed: Partial<ProviderOptions> = {
    address: env.CONTAINERD_ADDRESS ?? '/run/containerd/containerd.sock',
    namespace: env.CONTAINERD_NAMESPACE ?? 'cadre',
    runtime: 'runc',
    executor: 'auto',
    runtimeOptions: {},
    createTimeoutMs: 180_000,
    callTimeoutMs: CALL_TIMEOUT_MS,
    snapshotter: 'overlayfs',
    pull: 'missing',
    registry: {},
    stateRoot: '/run/cadre-containerd',
    volumeRoot: '/var/lib/cadre-containerd/volumes',
    allowHostPaths: [],
    allowHostNetwork: false,
    auditFailure: 'refuse',
    hostEnv: env,
    ...Object.fromEntries(given),
  };
  const { profile: _profile, profiles, policy: _policy, ...rest } = completed;
  const all: Record<keyof ProviderOptions, Rule> = {
    ...providerFields,
    registry: registryRule,
    ...listDefaultRules(profiles),
  };
  // Completed first: what the environment says is checked as well.
  checkOptions('provider options', isRecord(options) ? completed : options, all, ['image']);
  return { ...(rest as Omit<ResolvedOptions, 'base'>), base: buildBase(completed) };
}

/** Says in one sentence what is missing where containerd cannot be. */
export function assertHost(): void {
  if (process.platform !== 'linux') {
    throw new DriverError('failed-precondition', `sessions need Linux with containerd, this is ${process.platform}`);
  }
  if (process.getuid?.() !== 0) {
    throw new DriverError('failed-precondition', 'sessions need root: containerd, its FIFOs and cgroups are root-only');
  }
}
