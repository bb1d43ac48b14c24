import { withCleanup } from '../core/cleanup.js';
import {
  type Container,
  ContainersService,
} from '../generated/github.com/containerd/containerd/api/services/containers/v1/containers.js';
import { LeasesService } from '../generated/github.com/containerd/containerd/api/services/leases/v1/leases.js';
import { createNamespace } from '../network/namespace.js';
import { MIB } from '../policy/fields.js';
import type { ResolvedPolicy } from '../policy/types.js';
import { packJson } from '../rpc/any.js';
import { adaptSpec } from '../spec/adapt.js';
import { needsNetworkPath } from '../spec/runtime.js';
import type { OciSpec } from '../spec/types.js';
import { describeCreation } from './claim.js';
import type { SessionContext } from './context.js';
import { findRecord, readSpec } from './find.js';
import { buildExtension, EXTENSION, type SessionRecord, SPEC_TYPE } from './record.js';
import { packShimOptions } from './shim-options.js';
import { removeContainer, removeLease } from './teardown.js';
import { withVolume } from './volume-directory.js';

/** What a session is on another runtime. */
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
  const { executor = 'task' } = record.asked;
  const chosen = await context.chooseRuntime({ runtime, policy, executor });
  const { name, options } = chosen.runtime;
  const { path: networkPath } = needsNetworkPath(name) ? await createNamespace(directory) : { path: '' };
  const spec = adaptSpec(before, { ...chosen, runtime: name, policy, networkPath });
  const moved = { ...record, runtime: name };
  const next: Container = {
    ...container,
    runtime: { name, options: options && packShimOptions(options) },
    spec: packJson(SPEC_TYPE, spec),
    extensions: { ...container.extensions, [EXTENSION]: buildExtension(moved) },
  };
  return {
    record: moved,
    spec,
    apply: () => replaceContainer(context, record, { from: container, to: next }),
    revert: () => replaceContainer(context, record, { from: next, to: container }),
  };
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

/**
 * containerd takes no other runtime for a record that is there (metadata/containers.go, "field is immutable"): it is
 * made anew. A lease of the session's id, as a creation has it, holds its files meanwhile and tells others to wait.
 */
async function replaceContainer(
  context: SessionContext,
  record: SessionRecord,
  { from, to }: { from: Container; to: Container },
): Promise<void> {
  const { channel, owner } = context;
  const { id, manifest } = record;
  const replace = () =>
    withCleanup(async (undo) => {
      const labels = describeCreation({ ...record, owner, createdAt: new Date() });
      await undo.acquire(
        'lease',
        () => channel.unary(LeasesService.create, { id, labels }),
        () => removeLease(channel, id),
      );
      const held = [
        { id, type: `snapshots/${record.snapshotter}` },
        { id: manifest.digest, type: 'content' },
      ];
      for (const resource of held) {
        await channel.unary(LeasesService.addResource, { id, resource }, { idempotent: true });
      }
      const create = (container: Container) =>
        channel.unary(ContainersService.create, {
          container: { ...container, createdAt: undefined, updatedAt: undefined },
        });
      await removeContainer(channel, id);
      try {
        await create(to);
      } catch (error) {
        await removeContainer(channel, id);
        await create(from);
        throw error;
      }
    });
  // Whoever removes volumes looks at the records.
  const names = [...(record.volumes ?? [])].sort();
  await names.reduce((work, name) => () => withVolume(context, name, work), replace)();
}
