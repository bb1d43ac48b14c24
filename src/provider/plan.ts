import { createHash, randomBytes } from 'node:crypto';
import { basename, join } from 'node:path';
import { CapabilityMismatchError } from '../core/error.js';
import { isExecutable } from '../core/program.js';
import type { Image } from '../image/image.js';
import { nameNamespace } from '../network/namespace.js';
import { findMismatches, type Place } from '../policy/capabilities.js';
import { hashPolicy } from '../policy/effective.js';
import type { ResolvedPolicy, SecretBinding } from '../policy/types.js';
import type { RuntimeChange, SessionContext } from '../session/context.js';
import type { CreateRequest } from '../session/create.js';
import { nameNetns } from '../session/network.js';
import { type AskedSession, ID_PREFIX } from '../session/record.js';
import { adaptSpec } from '../spec/adapt.js';
import { buildSpec, checkSpecInput } from '../spec/build.js';
import { nameCgroup } from '../spec/cgroup-path.js';
import { chooseEnv } from '../spec/environment.js';
import type { HostFacts } from '../spec/host.js';
import { annotateGroup, checkRuntimeChoice, chooseRuntime, needsNetworkPath } from '../spec/runtime.js';
import type { OciSeccomp } from '../spec/types.js';
import type { SessionOptions } from './create-options.js';
import { checkSupervisor, chooseExecutor, chooseSupervisor } from './executor-choice.js';
import type { ResolvedOptions } from './options.js';
import { listSessionFiles, WORKSPACE } from './session-files.js';

/** A name's id is the same on one containerd and differs between two: they share runc's state on a host. */
export function nameSession(name: string | undefined, uuid: string): string {
  if (name === undefined) return ID_PREFIX + randomBytes(8).toString('hex');
  return `${ID_PREFIX}${name}-${createHash('sha256').update(`${uuid}\0${name}`).digest('hex').slice(0, 8)}`;
}

/** What every session of a provider is given of the host. */
export type Surroundings = Pick<
  ResolvedOptions,
  'hostEnv' | 'worktreePath' | 'runtimeBinary' | 'runtimeOptions' | 'executor'
>;

export interface PlanInput extends Surroundings {
  context: Pick<SessionContext, 'channel' | 'owner' | 'snapshotter' | 'directory'>;
  /** What was asked for. */
  runtime: string;
  /** Of the daemon. */
  uuid: string;
  host: HostFacts;
  /** Content of the profile that the policy names as a file. */
  seccomp?: OciSeccomp | undefined;
}

/** What was asked, checked without looking at any image: refused by name where it cannot be honoured. */
export function checkRequest(
  policy: ResolvedPolicy,
  session: SessionOptions,
  place: Place & { runtime: string },
  surroundings: Surroundings,
): void {
  const { hostEnv, worktreePath } = surroundings;
  checkSpecInput({ command: session.command, env: chooseEnv(policy, hostEnv, session.env ?? {}) });
  listSessionFiles(policy, worktreePath);
  const { executor = surroundings.executor, shimGroup } = session;
  checkRuntime(policy, place, { ...surroundings, executor, shimGroup, main: session });
}

/** Whether a runtime at a place can honour a policy. */
export function checkRuntime(
  policy: ResolvedPolicy,
  place: Place & { runtime: string },
  {
    runtimeBinary,
    runtimeOptions,
    executor,
    shimGroup,
    main,
  }: Pick<Surroundings, 'runtimeBinary' | 'runtimeOptions' | 'executor'> & Pick<RuntimeChange, 'shimGroup' | 'main'>,
): void {
  const { runtime } = place;
  const faults = [
    ...findMismatches(policy, place),
    ...checkRuntimeChoice({ runtime, shimGroup, runtimeOptions, resources: policy.resources }),
  ];
  if (runtimeBinary !== undefined && basename(runtimeBinary) === 'runsc') {
    // Its sandbox refuses the network namespace that it makes, and stays behind (seen with Debian's of 2022).
    const expected =
      "a program that runs behind runc's shim, and not gVisor, which has one of its own: io.containerd.runsc.v1";
    faults.push({ path: 'runtimeBinary', value: runtimeBinary, expected });
  } else if (runtimeBinary !== undefined && !isExecutable(runtimeBinary)) {
    faults.push({ path: 'runtimeBinary', value: runtimeBinary, expected: 'the path of a program on this host' });
  }
  if (executor === 'supervisor') faults.push(...checkSupervisor(runtime, main));
  if (faults.length > 0) throw new CapabilityMismatchError('containerd', faults);
}

/** Everything that the creation of a session needs to know, decided before anything is created. */
export function planSession(
  policy: ResolvedPolicy,
  session: SessionOptions,
  image: Image,
  {
    context,
    uuid,
    host,
    hostEnv,
    worktreePath,
    runtimeBinary,
    runtimeOptions,
    seccomp,
    executor: usual,
    ...asked
  }: PlanInput,
): CreateRequest {
  const id = nameSession(session.name, uuid);
  const { name, command, tty = false, stdin = false, shimGroup, metadata = {}, ttlMs, signal } = session;
  const { timeoutMs } = policy.resources;
  const runtime = chooseRuntime(session.runtime ?? asked.runtime, { runtimeBinary, runtimeOptions });
  const askedExecutor = session.executor ?? usual;
  const chosen = chooseExecutor(askedExecutor, { runtime: runtime.name, policy });
  const isSystemd = runtime.options?.type === 'containerd.runc.v1.Options' && runtime.options.systemdCgroup;
  const { namespace } = context.channel;
  const cgroupsPath = nameCgroup(namespace, id, { systemd: isSystemd === true });
  const createdAt = new Date();
  const env = chooseEnv(policy, hostEnv, session.env ?? {});
  const files = listSessionFiles(policy, worktreePath);
  const volumes = files.volumes.map((volume) => volume.name);
  const cwd = worktreePath === undefined ? undefined : WORKSPACE;
  const common = {
    policy,
    image: image.config,
    host,
    hostname: name ?? id,
    cgroupsPath,
    command,
    tty,
    env,
    cwd,
    netns: nameNetns(context, { id, runtime: runtime.name, policy }),
    seccomp,
    runtimeBinary,
    ...(shimGroup === undefined ? {} : { annotations: annotateGroup(shimGroup) }),
    supervisor: chosen.executor === 'supervisor' ? chooseSupervisor(runtime.name) : undefined,
  };
  return {
    image,
    user: policy.user ?? (image.config.User || '0'),
    buildSpec: (user, binds) => {
      const spec = buildSpec({ ...common, user, binds });
      if (!needsNetworkPath(runtime.name)) return spec;
      const networkPath = nameNamespace(join(context.directory, id));
      return adaptSpec(spec, { runtime: runtime.name, runtimeOptions, policy, host, networkPath });
    },
    ...files,
    known: policy.secrets.map(({ value }) => value),
    signal,
    runtime,
    record: {
      id,
      ...(name === undefined ? {} : { name }),
      owner: context.owner,
      image: image.name,
      manifest: image.manifest,
      asked: {
        ...describeAsked(policy, session),
        ...chosen,
        ...(askedExecutor === 'auto' ? { askedExecutor } : {}),
      },
      policyHash: hashPolicy(policy),
      runtime: runtime.name,
      snapshotter: context.snapshotter,
      createdAt,
      ...(ttlMs === undefined ? {} : { expiresAt: new Date(createdAt.getTime() + ttlMs) }),
      metadata,
      ...(command === undefined ? {} : { command: { terminal: tty, stdin } }),
      ...(volumes.length === 0 ? {} : { volumes }),
      ...(timeoutMs === undefined ? {} : { execTimeoutMs: timeoutMs }),
    },
  };
}

/**
 * What was asked, to be kept with the session: without what is chosen or kept elsewhere, and without the values of
 * secrets.
 */
export function describeAsked(
  policy: ResolvedPolicy,
  { command, tty, stdin, env, shimGroup }: SessionOptions,
): AskedSession {
  const hide = (secrets: SecretBinding[]) => secrets.map((secret) => ({ ...secret, value: '' }));
  const { secrets } = policy.asked;
  const hidden = { ...policy.asked, ...(secrets === undefined ? {} : { secrets: hide(secrets) }) };
  return {
    policy: { ...policy, secrets: hide(policy.secrets), asked: hidden },
    ...(command === undefined ? {} : { command }),
    ...(tty === undefined ? {} : { tty }),
    ...(stdin === undefined ? {} : { stdin }),
    ...(env === undefined ? {} : { env }),
    ...(shimGroup === undefined ? {} : { shimGroup }),
  };
}
