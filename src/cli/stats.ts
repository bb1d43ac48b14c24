import { setTimeout as sleep } from 'node:timers/promises';
import { hasCode } from '../core/error.js';
import type { ContainerdProvider } from '../provider/provider.js';
import type { SessionStats } from '../session/stats.js';
import { formatBytes, formatTable } from './table.js';
import { watchSignals } from './terminal.js';
import { connectionOptions, openProvider, readOptions, type Verb } from './verb.js';

const INTERVAL_MS = 1_000;
const BAR = 10;
const CLEAR = '\x1b[H\x1b[J';

export const statsVerb: Verb = {
  usage: 'cadre-containerd stats [--no-stream] [--json] [SESSION...]',
  summary: 'show what sessions use, all that run or those named, every second until interrupted',
  example: 'cadre-containerd stats --no-stream',
  async run(args) {
    const { values, rest } = readOptions(args, {
      ...connectionOptions,
      'no-stream': { type: 'boolean' },
      json: { type: 'boolean' },
    });
    const signal = watchSignals();
    await using provider = openProvider(values);
    const isLive = process.stdout.isTTY && !values.json && !values['no-stream'];
    for (;;) {
      const all = await measure(provider, rest);
      const text = values.json
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
};

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
    `${bar(cpuPercent / 100)} ${cpuPercent.toFixed(1).padStart(5)}%`,
    `${bar(used)} ${formatBytes(memoryBytes)} of ${formatBytes(memoryLimitBytes)}`,
    String(pids),
    `${formatBytes(stats.networkRxBytes)} / ${formatBytes(stats.networkTxBytes)}`,
    `${formatBytes(stats.ioReadBytes)} / ${formatBytes(stats.ioWriteBytes)}`,
  ];
}

function bar(share: number): string {
  const filled = Math.round(Math.min(1, Math.max(0, share)) * BAR);
  return process.stdout.isTTY ? '█'.repeat(filled) + '░'.repeat(BAR - filled) : '';
}
