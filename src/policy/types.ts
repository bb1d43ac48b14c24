/** `none`: loopback only. `full`: out through the host. `allowlist`: out to what `network.allow` names, and to nothing else. */
export type NetworkMode = 'none' | 'allowlist' | 'full';

/** What a session sees of the host at one place: a directory or file, a volume, or memory. */
export interface MountSpec {
  /**
   * Source on the host, resolved when the session is created; of a volume its name. A tmpfs has no source: it appears
   * here, unless `target` says otherwise.
   */
  path: string;
  /** Holds for file systems mounted below it too. */
  readOnly: boolean;
  /** Absolute path inside. Defaults to `path`; a volume needs one. */
  target?: string;
  /** Defaults to `bind`. */
  type?: 'bind' | 'tmpfs' | 'volume';
  /** Of a tmpfs, in bytes. Defaults to 64 MiB. */
  sizeBytes?: number;
}

/** A POSIX limit (setrlimit(2)), such as `{ type: 'nofile', soft: 1024, hard: 4096 }`. */
export interface UlimitSpec {
  /** Without `RLIMIT_`, in lower case. */
  type: string;
  /** What holds until the process raises it, in the unit of the limit: bytes, seconds or a count (setrlimit(2)). */
  soft: number;
  /** What it may be raised to; at least `soft`. */
  hard: number;
}

/** What a session may use. A limit that is not named is the default's or the host's. */
export interface ResourceLimits {
  /** Relative weight of the processor, from 2 to 262,144; the kernel's default is 1024. */
  cpuShares?: number;
  /** MiB. Without it the host's memory is the limit. */
  memoryMb?: number;
  /** Processes and threads, at least 8, as each exec needs some to start. Defaults to 512. */
  pidsLimit?: number;
  /** Of every process. Default to 1024 open files, 4096 at most, and no core dumps. */
  ulimits?: UlimitSpec[];
  /** Default deadline of every exec, in ms; none without it. */
  timeoutMs?: number;
  /** Processors, fractions included, or millicores as in `500m`; at least 0.01, as the kernel takes no less. */
  cpus?: number | string;
  /** MiB of swap beyond `memoryMb`. Defaults to none. */
  memorySwapMb?: number;
  /** Relative weight of disk access, from 10 to 1000, where all disks are scheduled by bfq. The kernel's default is 100. */
  ioWeight?: number;
  /** MiB that the session may write to its file system. Not honoured yet. */
  diskMb?: number;
  /** From -1000 to 1000 (proc(5)): how soon the kernel takes the session's processes if the host runs out. Defaults to 0. */
  oomScoreAdj?: number;
}

/** A value is in no message, no fault and no log. */
export interface SecretBinding {
  /** Of the file, or of the variable. */
  name: string;
  /** At most 1 MiB as a file, 128 KiB as a variable; all together at most 8 MiB. */
  value: string;
  /**
   * `file`: /run/secrets/NAME, of mode 0400 and the session's user, on a tmpfs. `env`: a variable of every process; it
   * is then in the container's record and in the daemon's database, until after the session. Defaults to `file`.
   */
  as?: 'file' | 'env';
}

/** Of a session that has a network. */
export interface NetworkRules {
  /**
   * Name of the network: one of `provider.networks`, or `host` for the host's own, which the provider has to allow. Defaults
   * to `default`.
   */
  name?: string;
  /**
   * What a session with `networkMode: 'allowlist'` can reach: `example.org`, `*.example.org`, IPv4 addresses and ranges, each
   * with `:PORT` or `:PORT-PORT`. Names have ports 80 and 443 by default, addresses all. Defaults to nothing.
   */
  allow?: string[];
  /** Addresses of at most three name servers, of an allowlist those that are asked outside. Defaults to the host's. */
  dns?: string[];
  /**
   * Ports of the session that are reached through the host, as docker spells them: `8080:80`, `8000-8010:8000-8010`,
   * `53:53/udp`, `0.0.0.0:8080:80`. Without an address on 127.0.0.1; without a port of the host on a free one.
   */
  ports?: (number | string)[];
  /** Kbit/s, each way or the ways that are named. */
  bandwidthKbps?: number | { in?: number; out?: number };
}

/** Not honoured yet. Times are in ms. */
export interface HealthCheck {
  /** Command and arguments; exit code 0 is healthy. */
  test: readonly string[];
  /** Between two runs. */
  intervalMs?: number;
  /** After which a run counts as failed. */
  timeoutMs?: number;
  /** Failures in a row that make it unhealthy. */
  retries?: number;
  /** In which failures do not count. */
  startPeriodMs?: number;
  /** What is then done. */
  onUnhealthy?: 'none' | 'restart' | 'kill';
}

/** What a session may do and use. Everything is honoured or refused by name. */
export interface IsolationPolicy {
  /** `default`, `strict`, `permissive` or one of the provider's own. Defaults to the provider's `profile`. */
  profile?: string;
  /** Defaults to none. */
  mounts?: MountSpec[];
  /** Defaults to `full`. */
  networkMode?: NetworkMode;
  /** Names of variables that are passed on from the host, those of them that it has. No patterns. */
  envAllowlist?: string[];
  /** Defaults to none. */
  secrets?: SecretBinding[];
  /** What it may use. */
  resources?: ResourceLimits;
  /** What can be reached, beside `networkMode`. */
  network?: NetworkRules;
  /** The image's file system cannot be written; /tmp, /run and /dev/shm can. Defaults to false. */
  readOnlyRootfs?: boolean;
  /** `name`, `uid`, `uid:gid` or `name:group`. Defaults to the image's. */
  user?: string;
  /** Set-user-id programs give no privileges. Defaults to true. */
  noNewPrivileges?: boolean;
  /** Changes to the default set, by name with or without `CAP_`; drops win. `ALL` drops every default and cannot be added. */
  capabilities?: { add?: string[]; drop?: string[] };
  /** Filter of system calls; a path is that of a file with OCI's `linux.seccomp`. Defaults to `default`. */
  seccomp?: 'default' | 'strict' | 'unconfined' | { path: string };
  /** Name of a profile of AppArmor that the host has loaded and enforces; `cadre-containerd apparmor load` loads ours. */
  apparmor?: string;
  /**
   * Maps the ids inside, from 0 on, to ids of the host that are no one's: `size` of them from `uid` on, groups alike. True
   * is 65536 ids from 1879048192 on, which neither useradd nor systemd gives to anyone. Defaults to false.
   */
  userns?: boolean | { uid: number; size: number };
  /** Parameters of the kernel that a namespace of the session has of its own, such as `net.core.somaxconn`: no others. */
  sysctls?: Record<string, string>;
  /** A command that tells whether what runs inside is well. */
  healthCheck?: HealthCheck;
}

/** The flat form of the older Kata README. Both forms may meet in one policy, as long as they say the same. */
export interface FlatPolicy {
  /** Bytes. */
  memory?: number;
  /** Cores, or millicores as in `500m`. */
  cpu?: number | string;
  /** True is `networkMode: 'none'`, false `full`. */
  networkIsolation?: boolean;
  /** As in `IsolationPolicy`. */
  readOnlyRootfs?: boolean;
}

/** A policy that others are laid upon: a profile, or a provider's own. It names no profile itself. */
export type Layer = Omit<IsolationPolicy, 'profile'>;

/** A policy with its defaults filled in and its sizes in bytes. */
export interface ResolvedPolicy {
  /** Name of the profile that it lies upon. */
  profile: string;
  networkMode: NetworkMode;
  readOnlyRootfs: boolean;
  noNewPrivileges: boolean;
  user?: string;
  capabilities: { add: string[]; drop: string[] };
  seccomp: NonNullable<IsolationPolicy['seccomp']>;
  apparmor?: string;
  userns?: { uid: number; size: number };
  sysctls: Record<string, string>;
  mounts: MountSpec[];
  envAllowlist: string[];
  secrets: SecretBinding[];
  resources: {
    pidsLimit: number;
    ulimits: UlimitSpec[];
    memoryBytes?: number;
    memorySwapBytes?: number;
    cpus?: number;
    cpuShares?: number;
    oomScoreAdj?: number;
    ioWeight?: number;
    timeoutMs?: number;
  };
  /** What was asked by profile, provider and policy together, in the canonical form and before defaults. */
  asked: Layer;
  /** Canonical paths that were given under a name of the flat form. */
  aliases: Record<string, string>;
}
