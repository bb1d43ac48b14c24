import { DriverError } from '../core/error.js';
import { OWNER_LABEL } from '../core/owner.js';
import type { Any } from '../generated/google/protobuf/any.js';
import type { TypedBlob } from '../image/document.js';
import type { ResolvedPolicy } from '../policy/types.js';
import { packJson, unpackJson } from '../rpc/any.js';
import type { OciSpec } from '../spec/types.js';

/**
 * Every id begins with it. What containerd does not know any more (shims, cgroups, directories) is told to be ours by
 * it, and by nothing else.
 */
export const ID_PREFIX = 'cadre-';

/** Labels that sessions are found by. Everything else about a session is in the container's extension. */
export const LABEL = {
  owner: OWNER_LABEL,
  name: 'cadre.dev/name',
  /** On the lease of a creation alone; it says which record is its own. */
  createdAt: 'cadre.dev/created-at',
  expiresAt: 'cadre.dev/expires-at',
  /** While a running session is read: the process that paused it. The reaper resumes it when that has ended. */
  pausedBy: 'cadre.dev/paused-by',
  metadata: 'cadre.dev/metadata.',
  /** Of a session that waits in a pool: the pool's name. */
  pool: 'cadre.dev/pool',
  /** Of the same: what it was made with, see `PoolPlace`. */
  poolKey: 'cadre.dev/pool-key',
} as const;

/** By it the garbage collector keeps an image's content for as long as the container lives, whatever its name does. */
const MANIFEST_LABEL = 'containerd.io/gc.ref.content.image';

/** Type of the OCI document in a container record, as containerd's own clients name it. */
export const SPEC_TYPE = 'types.containerd.io/opencontainers/runtime-spec/1/Spec';

export const EXTENSION = 'cadre.dev/session';
const EXTENSION_TYPE = 'cadre.dev/session/v1';

/** Instead of it, a spare holds the container that stands for a session while that is replaced, see spare.ts. */
export const SPARE = 'cadre.dev/spare';
export const SPARE_TYPE = 'containerd.services.containers.v1.Container';

/** Id of a session's spare. It does not begin as a session's does. */
export function nameSpare(id: string): string {
  return `spare-${id}`;
}

/** How the session's own command is connected. */
interface CommandIo {
  terminal: boolean;
  /** It reads from whoever attaches; without it, it reads end of input. */
  stdin: boolean;
}

/** What was asked of a session, so that forks can be made like it. The values of secrets are left out. */
export interface AskedSession {
  policy: ResolvedPolicy;
  command?: readonly string[];
  tty?: boolean;
  stdin?: boolean;
  env?: Record<string, string>;
  /** Sessions of it share a shim. Absent for one that has its own. */
  shimGroup?: string;
  /** What was chosen. Absent in sessions of earlier versions, which have `task`. */
  executor?: ExecutorName;
  /** Why that one. */
  executorReason?: string;
  /** It was free to choose, and is again when the session moves to another runtime or is forked. */
  askedExecutor?: 'auto';
}

/** What starts commands: containerd's Tasks.Exec, or the session's own supervisor. */
export type ExecutorName = 'task' | 'supervisor';

/** What starts the commands of a session, and why that does. */
export interface ChosenExecutor {
  executor: ExecutorName;
  executorReason: string;
}

/** `auto` is the supervisor in sessions that can have it, and containerd in the others. */
export type ExecutorChoice = 'auto' | ExecutorName;

/** Where a fork comes from. */
export interface SessionParent {
  /** Id of the session. */
  session: string;
  /** Name of the snapshot. */
  snapshot: string;
}

/** Where a session waits that nobody has taken yet. */
export interface PoolPlace {
  /** Of the pool. */
  name: string;
  /** The same for two sessions that differ in nothing that cannot change after create. */
  key: string;
}

/** What a session is, as containerd keeps it. There is no other place that could disagree. */
export interface SessionRecord {
  id: string;
  name?: string;
  /** The process that answers for the session, see `describeOwner`. */
  owner: string;
  image: string;
  /** What the image's name stood for then; the record keeps it in the store. */
  manifest: TypedBlob;
  asked: AskedSession;
  /** Names the policy, see `hashPolicy`. */
  policyHash: string;
  /** Of a fork: the session that it began as, and the snapshot that both have below them. */
  parent?: SessionParent;
  /** containerd's name of the runtime, such as `io.containerd.runc.v2`. */
  runtime: string;
  snapshotter: string;
  createdAt: Date;
  /** When any process's reaper may remove it; without it the session ends with its owner. */
  expiresAt?: Date;
  metadata: Record<string, string>;
  /** The session's own command, if it has one; without it it only keeps itself alive for execs. */
  command?: CommandIo;
  /** Names of the volumes that it uses: none of them is removed while there is this record. */
  volumes?: string[];
  /** Deadline of every exec that names none, in ms. */
  execTimeoutMs?: number;
  /** What the shim is given in the place of a source, and the source; see held.ts. */
  held?: Record<string, string>;
  /** Absent for every session that somebody has. */
  pool?: PoolPlace;
}

export function buildLabels(record: SessionRecord): Record<string, string> {
  const { owner, name, expiresAt, metadata, manifest, pool } = record;
  const labels: Record<string, string> = { [LABEL.owner]: owner, [MANIFEST_LABEL]: manifest.digest };
  if (name !== undefined) labels[LABEL.name] = name;
  if (expiresAt !== undefined) labels[LABEL.expiresAt] = expiresAt.toISOString();
  if (pool !== undefined) Object.assign(labels, { [LABEL.pool]: pool.name, [LABEL.poolKey]: pool.key });
  for (const [key, value] of Object.entries(metadata)) labels[LABEL.metadata + key] = value;
  return labels;
}

export function buildExtension(record: SessionRecord): Any {
  const {
    id: _id,
    owner: _owner,
    name: _name,
    expiresAt: _expiresAt,
    metadata: _metadata,
    pool: _pool,
    ...rest
  } = record;
  return packJson(EXTENSION_TYPE, rest);
}

/** A session's document as its shim is to have it. */
export function packSpec(spec: OciSpec, { held = {} }: Pick<SessionRecord, 'held'>): Any {
  const places = new Map(Object.entries(held).map(([place, source]) => [source, place]));
  return packJson(
    SPEC_TYPE,
    replaceSources(spec, (source) => places.get(source)),
  );
}

/** The same with the sources that were asked for. */
export function unpackSpec(spec: Any, { held = {} }: Pick<SessionRecord, 'held'>): OciSpec {
  return replaceSources(unpackJson(spec) as OciSpec, (source) => held[source]);
}

function replaceSources(spec: OciSpec, find: (source: string) => string | undefined): OciSpec {
  return { ...spec, mounts: spec.mounts.map((mount) => ({ ...mount, source: find(mount.source) ?? mount.source })) };
}

export interface StoredContainer {
  id: string;
  labels: Record<string, string>;
  extensions: Record<string, Any>;
}

/** Reads a session back from its container; undefined when the container is not one of ours. */
export function readRecord({ id, labels, extensions }: StoredContainer): SessionRecord | undefined {
  const owner = labels[LABEL.owner];
  const extension = extensions[EXTENSION];
  if (owner === undefined || extension === undefined) return undefined;
  if (extension.typeUrl !== EXTENSION_TYPE) {
    throw new DriverError(
      'data-loss',
      `session ${id} has a record of type ${extension.typeUrl}, not ${EXTENSION_TYPE}`,
    );
  }
  const stored = unpackJson(extension) as Omit<SessionRecord, 'createdAt'> & { createdAt: string };
  const prefix = LABEL.metadata;
  const name = labels[LABEL.name];
  const expiresAt = labels[LABEL.expiresAt];
  const pool = labels[LABEL.pool];
  return {
    ...stored,
    id,
    owner,
    createdAt: new Date(stored.createdAt),
    ...(name === undefined ? {} : { name }),
    ...(expiresAt === undefined ? {} : { expiresAt: new Date(expiresAt) }),
    ...(pool === undefined ? {} : { pool: { name: pool, key: labels[LABEL.poolKey] ?? '' } }),
    metadata: Object.fromEntries(
      Object.entries(labels).flatMap(([key, value]) =>
        key.startsWith(prefix) ? [[key.slice(prefix.length), value]] : [],
      ),
    ),
  };
}
