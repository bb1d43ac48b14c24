import type { Container } from '../generated/github.com/containerd/containerd/api/services/containers/v1/containers.js';
import { createNamespace } from '../network/namespace.js';
import { MIB } from '../policy/fields.js';
import type { ResolvedPolicy } from '../policy/types.js';
import { adaptSpec } from '../spec/adapt.js';
import { type InitChoice, placeSupervisor, replaceInit } from '../spec/init.js';
import { STDIO } from '../spec/mounts.js';
import { needsNetworkPath } from '../spec/runtime.js';
import type { OciSpec } from '../spec/types.js';
import { describeDoor, keepRestrictions } from './binds.js';
import type { ChosenRuntime, SessionContext } from './context.js';
import { findRecord, readSpec } from './find.js';
import { nameHeld } from './held.js';
import { listBinds } from './pins.js';
import { buildExtension, EXTENSION, packSpec, type SessionRecord } from './record.js';
import { packShimOptions } from './shim-options.js';
import { replaceContainer } from './spare.js';

/** What a session is on another runtime, or by another init. */
export interface Move {
  record: SessionRecord;
  spec: OciSpec;
  /** Makes it so. */
  apply(): Promise<void>;
  /** Makes it what it was. */
  revert(): Promise<void>;
}

/**
 * Decides what a stopped session becomes on another runtime. Throws CapabilityMismatchError with everything that the
 * runtime cannot honour of the policy and of the limits that the session has by now; nothing has changed then.
 */
export async function planMove(
  context: SessionContext,
  { id, directory, runtime }: { id: string; directory: string; runtime: string },
): Promise<Move> {
  const { container, record } = await findRecord(context.channel, id);
  const before = readSpec(container);
  const policy = describeCurrent(record.asked.policy, before);
  const { executor = 'task', askedExecutor = executor, shimGroup } = record.asked;
  const chosen = await context.chooseRuntime({
    runtime,
    policy,
    executor: askedExecutor,
    shimGroup,
    main: record.asked,
  });
  const { name, options } = chosen.runtime;
  const { path: networkPath } = needsNetworkPath(name) ? await createNamespace(directory) : { path: '' };
  const adapted = adaptSpec(before, { ...chosen, runtime: name, policy, networkPath });
  const spec = replaceInit(adapted, chooseInit(chosen, policy, directory));
  const { executorReason } = chosen;
  const asked = { ...record.asked, executor: chosen.executor, executorReason };
  const binds = listBinds(context, id, spec).map(({ path, isOwn }) => ({ source: path, isOwn }));
  const moved = nameHeld(context, { ...record, runtime: name, asked }, binds);
  const next: Container = {
    ...container,
    runtime: { name, options: options && packShimOptions(options) },
    spec: packSpec(spec, moved),
    extensions: { ...container.extensions, [EXTENSION]: buildExtension(moved) },
  };
  return {
    record: moved,
    spec,
    apply: () => replaceContainer(context.channel, { from: container, to: next }),
    // A process that comes to its end in between leaves what it was, too.
    revert: () => replaceContainer(context.channel, { from: container, to: container }),
  };
}

/** The init that goes with what starts commands there. */
function chooseInit(
  { executor, initPath, runtime }: ChosenRuntime,
  { userns }: ResolvedPolicy,
  directory: string,
): InitChoice {
  if (executor === 'task') return { path: initPath };
  const place = placeSupervisor({ runtime: runtime.name });
  if (place === STDIO) return { path: initPath, place };
  const [door] = keepRestrictions([describeDoor(directory)], userns);
  return { path: initPath, place, door };
}

/** A policy with the limits that the session has by now: those that were changed since are asked for. */
function describeCurrent(policy: ResolvedPolicy, { linux: { resources } }: OciSpec): ResolvedPolicy {
  const { memory, cpu, pids, blockIO } = resources;
  const { pidsLimit, ioWeight } = policy.resources;
  const swap = memory?.limit !== undefined && memory.swap !== undefined ? memory.swap - memory.limit : undefined;
  const cpus = cpu?.quota !== undefined && cpu.period !== undefined ? cpu.quota / cpu.period : undefined;
  const changed = {
    ...(memory?.limit === undefined ? {} : { memoryBytes: memory.limit }),
    ...(swap === undefined ? {} : { memorySwapBytes: swap }),
    ...(cpus === undefined ? {} : { cpus }),
    ...(cpu?.shares === undefined ? {} : { cpuShares: cpu.shares }),
    ...(pids === undefined ? {} : { pidsLimit: pids.limit }),
    ...(blockIO?.weight === undefined ? {} : { ioWeight: blockIO.weight }),
  };
  const asked = {
    ...policy.asked.resources,
    ...(pids === undefined || pids.limit === pidsLimit ? {} : { pidsLimit: pids.limit }),
    ...(blockIO?.weight === undefined || blockIO.weight === ioWeight ? {} : { ioWeight: blockIO.weight }),
    ...(swap === undefined || swap === (policy.resources.memorySwapBytes ?? 0) ? {} : { memorySwapMb: swap / MIB }),
  };
  return { ...policy, resources: { ...policy.resources, ...changed }, asked: { ...policy.asked, resources: asked } };
}
