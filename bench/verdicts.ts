/** What must hold, and whether it did. */
import type { PeerName } from './options.js';
import type { Ratio } from './stats.js';
import type { HoldSummary, MetricSummary } from './summary.js';

export interface Verdict {
  readonly claim: string;
  readonly value: number;
  /** Of the ratio, see `Ratio`. */
  readonly interval?: Ratio['interval'];
  readonly limit: number;
  readonly met: boolean;
  /** The interval holds the limit: another run may tell otherwise. */
  readonly close: boolean;
}

interface RatioRule {
  readonly key: string;
  readonly peer: PeerName;
  readonly limit: number;
}

const ratioRules: readonly RatioRule[] = [
  { key: 'cold.total', peer: 'go', limit: 1 },
  { key: 'cold.total', peer: 'docker', limit: 0.5 },
  { key: 'warm.busy', peer: 'go', limit: 1 },
  { key: 'warm.idle', peer: 'go', limit: 1 },
  { key: 'out.rate', peer: 'go', limit: 1 },
  { key: 'in.rate', peer: 'go', limit: 1 },
  { key: 'rate.1', peer: 'go', limit: 1 },
  { key: 'rate.4', peer: 'go', limit: 1 },
  { key: 'rate.16', peer: 'go', limit: 1 },
];

const CPU_SECONDS = 1;
const SESSION_KB = 30;

export function judge(metrics: readonly MetricSummary[], holds: readonly HoldSummary[]): Verdict[] {
  const find = (key: string) => metrics.find((metric) => metric.key === key);
  const ratios = ratioRules.flatMap(({ key, peer, limit }): Verdict[] => {
    const metric = find(key);
    const ratio = metric?.ratios[peer];
    if (metric === undefined || ratio === undefined) return [];
    const isLower = metric.better === 'lower';
    const sign = isLower ? '<=' : '>=';
    const [low, high] = ratio.interval ?? [Number.NaN, Number.NaN];
    return [
      {
        claim: `${metric.label.trim()}: ours / ${peer} ${sign} ${limit.toFixed(2)}`,
        ...ratio,
        limit,
        met: isLower ? ratio.value <= limit : ratio.value >= limit,
        close: low <= limit && limit <= high,
      },
    ];
  });
  const cpu = ['out', 'in'].flatMap((way): Verdict[] => {
    const value = find(`${way}.cpu`)?.peers.ours?.median;
    if (value === undefined) return [];
    const claim = `1 GiB ${way}: our CPU seconds <= ${CPU_SECONDS.toFixed(2)}`;
    return [{ claim, value, limit: CPU_SECONDS, met: value <= CPU_SECONDS, close: false }];
  });
  const memory = holds.flatMap(({ peer, rssKb }): Verdict[] => {
    if (peer !== 'ours') return [];
    const claim = `our memory for one more live session, KB <= ${SESSION_KB}`;
    return [{ claim, value: rssKb, limit: SESSION_KB, met: rssKb <= SESSION_KB, close: false }];
  });
  return [...ratios, ...cpu, ...memory];
}
