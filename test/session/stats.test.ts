import os from 'node:os';
import { expect, test } from 'vitest';
import { Metrics as MetricsV1 } from '../../src/generated/github.com/containerd/cgroups/cgroup1/stats/metrics.js';
import { Metrics as MetricsV2 } from '../../src/generated/github.com/containerd/cgroups/cgroup2/stats/metrics.js';
import { decodeMetrics } from '../../src/session/stats.js';

function pack<T>(type: { encode(message: T): { finish(): Uint8Array } }, message: T): Buffer {
  return Buffer.from(type.encode(message).finish());
}

test('control groups v2', () => {
  const value = pack(
    MetricsV2,
    MetricsV2.fromPartial({
      pids: { current: 7n, limit: 64n },
      cpu: { usageUsec: 1_500_000n },
      memory: { usage: 50_000_000n, inactiveFile: 8_000_000n, usageLimit: 134_217_728n },
      io: {
        usage: [
          { major: 8n, minor: 0n, rbytes: 100n, wbytes: 10n },
          { major: 8n, minor: 16n, rbytes: 200n, wbytes: 20n },
        ],
      },
    }),
  );
  expect(decodeMetrics({ typeUrl: 'io.containerd.cgroups.v2.Metrics', value })).toEqual({
    cpuNs: 1_500_000_000n,
    memoryBytes: 42_000_000,
    memoryLimitBytes: 134_217_728,
    pids: 7,
    ioReadBytes: 300,
    ioWriteBytes: 30,
  });
});

test('control groups v1', () => {
  const value = pack(
    MetricsV1,
    MetricsV1.fromPartial({
      pids: { current: 3n },
      cpu: { usage: { total: 2_000_000_000n } },
      memory: { usage: { usage: 9_000_000n, limit: 67_108_864n }, totalInactiveFile: 1_000_000n },
      blkio: {
        ioServiceBytesRecursive: [
          { op: 'Read', value: 1n },
          { op: 'Write', value: 2n },
          { op: 'Sync', value: 4n },
          { op: 'Total', value: 7n },
          { op: 'write', value: 16n },
        ],
      },
    }),
  );
  expect(decodeMetrics({ typeUrl: 'io.containerd.cgroups.v1.Metrics', value })).toEqual({
    cpuNs: 2_000_000_000n,
    memoryBytes: 8_000_000,
    memoryLimitBytes: 67_108_864,
    pids: 3,
    ioReadBytes: 1,
    ioWriteBytes: 18,
  });
});

test('without a limit the memory of the host bounds; what is not counted is 0', () => {
  const none = { cpuNs: 0n, memoryBytes: 0, memoryLimitBytes: os.totalmem(), pids: 0, ioReadBytes: 0, ioWriteBytes: 0 };
  const unlimited = pack(MetricsV2, MetricsV2.fromPartial({ memory: { usageLimit: 2n ** 64n - 1n } }));
  expect(decodeMetrics({ typeUrl: 'io.containerd.cgroups.v2.Metrics', value: unlimited })).toEqual(none);
  expect(decodeMetrics({ typeUrl: 'io.containerd.cgroups.v1.Metrics', value: Buffer.alloc(0) })).toEqual(none);
});
