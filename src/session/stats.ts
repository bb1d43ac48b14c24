import os from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { DriverError } from '../core/error.js';
import { Metrics as MetricsV1 } from '../generated/github.com/containerd/cgroups/cgroup1/stats/metrics.js';
import { Metrics as MetricsV2 } from '../generated/github.com/containerd/cgroups/cgroup2/stats/metrics.js';
import { TasksService } from '../generated/github.com/containerd/containerd/api/services/tasks/v1/tasks.js';
import type { Any } from '../generated/google/protobuf/any.js';
import { unpackMessage } from '../rpc/any.js';
import type { Channel } from '../rpc/channel.js';
import { readOptional } from './proc.js';
import { type Init, readTask } from './task.js';

/** Over which a single `stats()` measures the processor, in ms. */
const SAMPLE_MS = 100;

/** What a session uses. Counters run from its start. */
export interface SessionStats {
  /** Of the measurement, by this host's clock. */
  time: Date;
  /** Of one processor: 200 is two of them in full. */
  cpuPercent: number;
  /** Without the page cache that the kernel would give back at once, as `docker stats` counts. */
  memoryBytes: number;
  /** The host's memory where the session has no limit. */
  memoryLimitBytes: number;
  /** Processes and threads. */
  pids: number;
  /** Of all interfaces but loopback; 0 where the session's namespace cannot be seen from here. */
  networkRxBytes: number;
  /** As `networkRxBytes`, sent. */
  networkTxBytes: number;
  /** Of disks; what the page cache gives is not counted. */
  ioReadBytes: number;
  /** Of disks. */
  ioWriteBytes: number;
}

type Counters = Omit<SessionStats, 'cpuPercent' | 'time' | 'networkRxBytes' | 'networkTxBytes'> & { cpuNs: bigint };
/** `at`: in ms, of a clock that is never set. */
type Sample = Omit<SessionStats, 'cpuPercent'> & { cpuNs: bigint; at: number };

/** Measures once, over a tenth of a second. */
export async function readStats(channel: Channel, id: string, init: Init): Promise<SessionStats> {
  const before = await takeSample(channel, id, init);
  await sleep(SAMPLE_MS);
  return compare(before, await takeSample(channel, id, init));
}

/** How often, and until when. */
export interface WatchStatsOptions {
  /** Ms between two measurements. */
  intervalMs: number;
  /** Ends the loop without an error. */
  signal?: AbortSignal;
}

/** Measures again and again, until the signal is aborted or the loop is left. */
export async function* watchStats(
  channel: Channel,
  id: string,
  init: () => Promise<Init>,
  { intervalMs, signal }: WatchStatsOptions,
): AsyncGenerator<SessionStats, void, undefined> {
  let before = await takeSample(channel, id, await init());
  while (!signal?.aborted) {
    try {
      await sleep(intervalMs, undefined, { signal });
    } catch {
      return;
    }
    const now = await takeSample(channel, id, await init());
    yield compare(before, now);
    before = now;
  }
}

function compare(before: Sample, { cpuNs, at, ...now }: Sample): SessionStats {
  const elapsedNs = (at - before.at) * 1e6;
  return { ...now, cpuPercent: elapsedNs > 0 ? (Number(cpuNs - before.cpuNs) / elapsedNs) * 100 : 0 };
}

async function takeSample(channel: Channel, id: string, { pid, cgroup }: Init): Promise<Sample> {
  const asked = performance.now();
  const { metrics } = await channel.unary(TasksService.metrics, { filters: [`id==${id}`] });
  // The counters are read somewhere between question and answer.
  const at = (asked + performance.now()) / 2;
  const data = metrics.find((metric) => metric.id === id)?.data;
  const counters = data && decodeMetrics(data);
  // The control group of a stopped session is there until it is started again or destroyed.
  const isRunning = counters !== undefined && (counters.pids > 0 || (await readTask(channel, id)).state !== 'stopped');
  if (!isRunning) throw new DriverError('failed-precondition', `session ${id} has no statistics: it does not run`);
  return { time: new Date(), at, ...counters, ...readNetwork(cgroup && pid) };
}

/** Of either generation of control groups. */
export function decodeMetrics(data: Any): Counters {
  return data.typeUrl.includes('.v2.') ? decodeV2(data) : decodeV1(data);
}

function decodeV1(data: Any): Counters {
  const { cpu, memory, pids, blkio } = unpackMessage('io.containerd.cgroups.v1.Metrics', MetricsV1, data);
  const sumIo = (op: string) =>
    (blkio?.ioServiceBytesRecursive ?? [])
      .filter((entry) => entry.op.toLowerCase() === op)
      .reduce((sum, entry) => sum + Number(entry.value), 0);
  return {
    cpuNs: cpu?.usage?.total ?? 0n,
    memoryBytes: Number((memory?.usage?.usage ?? 0n) - (memory?.totalInactiveFile ?? 0n)),
    memoryLimitBytes: boundLimit(memory?.usage?.limit),
    pids: Number(pids?.current ?? 0n),
    ioReadBytes: sumIo('read'),
    ioWriteBytes: sumIo('write'),
  };
}

function decodeV2(data: Any): Counters {
  const { cpu, memory, pids, io } = unpackMessage('io.containerd.cgroups.v2.Metrics', MetricsV2, data);
  const entries = io?.usage ?? [];
  return {
    cpuNs: (cpu?.usageUsec ?? 0n) * 1000n,
    memoryBytes: Number((memory?.usage ?? 0n) - (memory?.inactiveFile ?? 0n)),
    memoryLimitBytes: boundLimit(memory?.usageLimit),
    pids: Number(pids?.current ?? 0n),
    ioReadBytes: entries.reduce((sum, { rbytes }) => sum + Number(rbytes), 0),
    ioWriteBytes: entries.reduce((sum, { wbytes }) => sum + Number(wbytes), 0),
  };
}

/** The kernel's word for "no limit" is a number beyond any memory. */
function boundLimit(limit: bigint | undefined): number {
  const total = os.totalmem();
  return limit === undefined || limit === 0n ? total : Math.min(Number(limit), total);
}

/** /proc/PID/net/dev (proc(5)) of the init: the counters of its network namespace. A hypervisor's are not its guest's. */
function readNetwork(pid: number | undefined): { networkRxBytes: number; networkTxBytes: number } {
  const total = { networkRxBytes: 0, networkTxBytes: 0 };
  for (const line of readOptional(`/proc/${pid}/net/dev`)?.split('\n').slice(2) ?? []) {
    const [name, counters = ''] = line.trim().split(':');
    const fields = counters.trim().split(/\s+/);
    if (name === 'lo' || fields.length < 16) continue;
    total.networkRxBytes += Number(fields[0]);
    total.networkTxBytes += Number(fields[8]);
  }
  return total;
}
