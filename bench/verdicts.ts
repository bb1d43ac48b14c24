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
  /** Of ours with a difference. Defaults to ours as it comes. */
  readonly of?: PeerName;
}

const ratioRules: readonly RatioRule[] = [
  { key: 'cold.total', peer: 'go', limit: 0.95 },
  { key: 'cold.total', peer: 'docker', limit: 0.5 },
  { key: 'cold.total', of: 'crun', peer: 'go', limit: 0.65 },
  { key: 'cold.total', of: 'lean', peer: 'docker', limit: 0.5 },
  { key: 'cold.total', of: 'shared', peer: 'go', limit: 0.95 },
  { key: 'warm.busy', peer: 'go', limit: 0.05 },
  { key: 'warm.idle', peer: 'go', limit: 0.05 },
  { key: 'out.rate', peer: 'go', limit: 2.5 },
  { key: 'in.rate', peer: 'go', limit: 1 },
  { key: 'rate.1', peer: 'go', limit: 1 },
  { key: 'rate.4', peer: 'go', limit: 1 },
  { key: 'rate.16', peer: 'go', limit: 1.5 },
];

/** Of ours, in the metric's unit. */
const valueRules: readonly Omit<RatioRule, 'peer'>[] = [
  { key: 'warm.busy', limit: 0.7 },
  { key: 'warm.idle', limit: 1.3 },
  { key: 'warm.rate', limit: 1500 },
  { key: 'out.rate', limit: 1200 },
  { key: 'out.cpu', limit: 0.6 },
  { key: 'in.cpu', limit: 1 },
];

const SESSION_KB = 30;

export function judge(metrics: readonly MetricSummary[], holds: readonly HoldSummary[]): Verdict[] {
  const find = (key: string) => metrics.find((metric) => metric.key === key);
  const ratios = ratioRules.flatMap(({ key, of = 'ours', peer, limit }): Verdict[] => {
    const metric = find(key);
    const ratio = of === 'ours' ? metric?.ratios[peer] : metric?.leanRatios[of]?.[peer];
    if (metric === undefined || ratio === undefined) return [];
    const { sign, met } = compare(metric, ratio.value, limit);
    const [low, high] = ratio.interval ?? [Number.NaN, Number.NaN];
    const claim = `${metric.label.trim()}: ${of} / ${peer} ${sign} ${limit.toFixed(2)}`;
    return [{ claim, ...ratio, limit, met, close: low <= limit && limit <= high }];
  });
  const values = valueRules.flatMap(({ key, limit }): Verdict[] => {
    const metric = find(key);
    const value = metric?.peers.ours?.median;
    if (metric === undefined || value === undefined) return [];
    const { sign, met } = compare(metric, value, limit);
    return [
      { claim: `${metric.label.trim()}: ours, ${metric.unit} ${sign} ${limit}`, value, limit, met, close: false },
    ];
  });
  const memory = holds.flatMap(({ peer, rssKb }): Verdict[] => {
    if (peer !== 'ours') return [];
    const claim = `our memory for one more live session, KB <= ${SESSION_KB}`;
    return [{ claim, value: rssKb, limit: SESSION_KB, met: rssKb <= SESSION_KB, close: false }];
  });
  return [...ratios, ...values, ...memory];
}

function compare({ better }: Pick<MetricSummary, 'better'>, value: number, limit: number) {
  return better === 'lower' ? { sign: '<=', met: value <= limit } : { sign: '>=', met: value >= limit };
}
