import { addSuppressed, createInputError } from '../core/error.js';
import { withLock } from '../core/lock.js';
import {
  type Container,
  ContainersService,
} from '../generated/github.com/containerd/containerd/api/services/containers/v1/containers.js';
import { TasksService } from '../generated/github.com/containerd/containerd/api/services/tasks/v1/tasks.js';
import type { Any } from '../generated/google/protobuf/any.js';
import { MIB } from '../policy/fields.js';
import { classifyRuntime } from '../policy/runtimes.js';
import { parseUpdate } from '../policy/update.js';
import { packJson } from '../rpc/any.js';
import type { Channel } from '../rpc/channel.js';
import { keepGuestLimits } from '../spec/adapt.js';
import { changeResources } from '../spec/resources.js';
import type { OciResources, OciSpec } from '../spec/types.js';
import type { SessionContext } from './context.js';
import { findRecord, readSpec } from './find.js';
import { readHostFacts } from './host.js';
import { buildExtension, EXTENSION, packSpec, readRecord, type SessionRecord } from './record.js';
import { decodeMetrics } from './stats.js';
import { hasStopped, readTask } from './task.js';

/** As containerd registers it; runc reads it as the JSON of the runtime specification. */
const RESOURCES_TYPE = 'types.containerd.io/opencontainers/runtime-spec/1/LinuxResources';

/** The kernel's own default (sched-design-CFS.rst). */
const SHARES = 1024;
/** bfq's own (bfq-iosched.rst, "Per-process ioprio and weight"). */
const WEIGHT = 100;

/**
 * Changes limits of a session, in its record and in the kernel, and the rules of its allowlist, in its record and wherever
 * they are enforced; of a stopped one they hold from its next start. Either all of it holds afterwards or, when this
 * rejects, none.
 */
export async function updateSession({ channel, enforcers }: SessionContext, id: string, patch: unknown): Promise<void> {
  await withLock([channel.address, channel.namespace, id, 'update'], async () => {
    const { container, record } = await findRecord(channel, id);
    const spec = readSpec(container);
    const before = spec.linux.resources;
    const host = readHostFacts();
    const { networkMode } = record.asked.policy;
    const place = { ...host, runtime: record.runtime };
    const change = parseUpdate(patch, { memoryBytes: before.memory?.limit, networkMode, place });
    const { allow } = change.asked.network ?? {};
    const changed = changeResources(before, change, host);
    const after = classifyRuntime(record.runtime) === 'kata' ? keepGuestLimits(changed) : changed;
    const { state } = await readTask(channel, id);
    if (state !== 'stopped') await assertFits(channel, id, after);
    const isRunning = state !== 'stopped';
    const extension = allow && buildExtension(withRules(record, allow));
    const renew = async () => {
      if (allow !== undefined && isRunning) await enforcers.renew(id);
    };
    await apply(channel, container, { spec, before, after, extension, renew, isRunning });
  });
}

interface Change {
  spec: OciSpec;
  before: OciResources;
  after: OciResources;
  /** The record's, when it changes. */
  extension: Any | undefined;
  /** Makes the record's rules hold. */
  renew: () => Promise<void>;
  isRunning: boolean;
}

async function apply(channel: Channel, container: Container, change: Change): Promise<void> {
  const { spec, before, after, extension = container.extensions[EXTENSION] as Any, renew, isRunning } = change;
  const { id } = container;
  const record = (resources: OciResources, own: Any) =>
    writeRecord(channel, container, { ...spec, linux: { ...spec.linux, resources } }, own);
  try {
    await record(after, extension);
    if (isRunning) await writeLimits(channel, id, after);
    await renew();
  } catch (error) {
    // Whatever failed may have come true in part, and neither of the two may hinder the other.
    const undone = [
      record(before, container.extensions[EXTENSION] as Any).then(renew),
      ...(isRunning ? [writeLimits(channel, id, unsetOthers(before, after))] : []),
    ];
    const failures = (await Promise.allSettled(undone)).filter((result) => result.status === 'rejected');
    throw addSuppressed(
      error,
      failures.map(({ reason }) => reason),
    );
  }
}

/** What had no limit before has none again: runtimes take a value that is absent for one that stays. */
function unsetOthers(before: OciResources, { memory, cpu, blockIO }: OciResources): OciResources {
  return {
    ...before,
    ...(memory === undefined ? {} : { memory: { limit: -1, ...(memory.swap && { swap: -1 }), ...before.memory } }),
    ...(blockIO === undefined ? {} : { blockIO: { weight: WEIGHT, ...before.blockIO } }),
    ...(cpu === undefined
      ? {}
      : { cpu: { ...(cpu.quota && { quota: -1 }), ...(cpu.shares && { shares: SHARES }), ...before.cpu } }),
  };
}

function withRules(record: SessionRecord, allow: string[]): SessionRecord {
  const { policy } = record.asked;
  const asked = { ...policy.asked, network: { ...policy.asked.network, allow } };
  return { ...record, asked: { ...record.asked, policy: { ...policy, asked } } };
}

async function writeRecord(channel: Channel, container: Container, spec: OciSpec, extension: Any): Promise<void> {
  const extensions = { ...container.extensions, [EXTENSION]: extension };
  const changed = { ...container, spec: packSpec(spec, readRecord(container) ?? {}), extensions };
  const request = { container: changed, updateMask: ['spec', 'extensions'] };
  await channel.unary(ContainersService.update, request, { idempotent: true });
}

/**
 * runc brings memory and swap into the order that the kernel takes; both are always sent, so that it can. One that has
 * come to its end meanwhile has them from its next start.
 */
async function writeLimits(
  channel: Channel,
  containerId: string,
  { devices: _, ...limits }: OciResources,
): Promise<void> {
  const resources = packJson(RESOURCES_TYPE, limits);
  try {
    await channel.unary(TasksService.update, { containerId, resources, annotations: {} }, { idempotent: true });
  } catch (error) {
    if (!(await hasStopped(channel, containerId))) throw error;
  }
}

/** Under cgroup v2 the kernel kills what does not fit under a lower limit (memory.max in cgroup-v2.rst). */
async function assertFits(channel: Channel, id: string, { memory }: OciResources): Promise<void> {
  if (memory?.limit === undefined) return;
  const { metrics } = await channel.unary(TasksService.metrics, { filters: [`id==${id}`] });
  const data = metrics.find((metric) => metric.id === id)?.data;
  const used = data === undefined ? 0 : decodeMetrics(data).memoryBytes;
  if (used <= memory.limit) return;
  const expected = `at least ${Math.ceil(used / MIB)}, which the session uses`;
  throw createInputError('update', [{ path: 'resources.memoryMb', value: memory.limit / MIB, expected }]);
}
