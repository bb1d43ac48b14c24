import { setTimeout as sleep } from 'node:timers/promises';
import { hasCode } from '../core/error.js';
import type { ContainerdProvider } from '../provider/provider.js';
import type { SessionStats } from '../session/stats.js';
import { openProvider } from './connection.js';
import { drawBar, isJson, outputOptions } from './output.js';
import { formatBytes, formatTable } from './table.js';
import { watchSignals } from './terminal.js';
import { connectionOptions, defineVerb } from './verb.js';

const INTERVAL_MS = 1_000;
const CLEAR = '\x1b[H\x1b[J';

export const statsVerb = defineVerb({
  usage: 'cadre-containerd stats [--no-stream] [--json] [SESSION...]',
  summary: 'show what sessions use, all that run or those named, every second until interrupted',
  example: 'cadre-containerd stats --no-stream',
  options: { ...connectionOptions, ...outputOptions, 'no-stream': { type: 'boolean' } },
  takes: ['[session...]'],
  async run(values, names) {
    const isLines = isJson(values);
    const signal = watchSignals();
    await using provider = await openProvider(values);
    const isLive = process.stdout.isTTY && !isLines && !values['no-stream'];
    for (;;) {
      const all = await measure(provider, names);
      const text = isLines
        ? all.map(({ name, stats }) => `${JSON.stringify({ session: name, ...stats })}\n`).join('')
        : formatTable(
            ['SESSION', 'CPU', 'MEMORY', 'PROCESSES', 'NETWORK IN / OUT', 'DISK IN / OUT'],
            all.map(describe),
          );
      process.stdout.write(isLive ? CLEAR + text : text);
      if (values['no-stream'] || signal.aborted) return 0;
      await sleep(INTERVAL_MS, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return 0;
    }
  },
});

interface Measured {
  name: string;
  stats: SessionStats;
}

/** Those that are named must be there; of the rest one may end at any time. */
async function measure(provider: ContainerdProvider, names: string[]): Promise<Measured[]> {
  const wanted = [...names];
  if (names.length === 0) {
    for await (const { sessionId } of provider.list({ state: ['running', 'paused'] })) wanted.push(sessionId);
  }
  const all = await Promise.all(
    wanted.map(async (name) => {
      try {
        return [{ name, stats: await (await provider.connect(name)).stats() }];
      } catch (error) {
        if (names.length === 0 && hasCode(error, 'not-found', 'failed-precondition')) return [];
        throw error;
      }
    }),
  );
  return all.flat();
}

function describe({ name, stats }: Measured): string[] {
  const { cpuPercent, memoryBytes, memoryLimitBytes, pids } = stats;
  const used = memoryBytes / memoryLimitBytes;
  return [
    name,
    `${drawBar(cpuPercent / 100)} ${cpuPercent.toFixed(1).padStart(5)}%`,
    `${drawBar(used)} ${formatBytes(memoryBytes)} of ${formatBytes(memoryLimitBytes)}`,
    String(pids),
    `${formatBytes(stats.networkRxBytes)} / ${formatBytes(stats.networkTxBytes)}`,
    `${formatBytes(stats.ioReadBytes)} / ${formatBytes(stats.ioWriteBytes)}`,
  ];
}
