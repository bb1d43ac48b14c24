import { type HoldReading, METRICS, type Metric, nameGrowth, type Readings } from './metrics.js';
import { LEAN, type PeerName } from './options.js';
import { compareMedians, findMedian, findQuantile, fitSlope, type Ratio } from './stats.js';

interface PeerFigures {
  readonly samples: number;
  readonly median: number;
  /** The value that 95 of 100 samples do not exceed; where higher is better, the one that 95 of 100 reach. */
  readonly p95: number;
  /** Ms of idleness before a sample, median. */
  readonly gapMs: number;
}

type Ratios = Partial<Record<PeerName, Ratio>>;

export interface MetricSummary extends Metric {
  readonly peers: Partial<Record<PeerName, PeerFigures>>;
  /** Ours divided by theirs. */
  readonly ratios: Ratios;
  /** The same of each of ours that is lean. */
  readonly leanRatios: Partial<Record<PeerName, Ratios>>;
}

/** What one more live session costs the process that holds it. */
export interface HoldSummary {
  readonly peer: PeerName;
  readonly rssKb: number;
  readonly heapKb: number | undefined;
  readonly fds: number;
  readonly steps: readonly HoldReading[];
}

export function summarize(readings: Readings): MetricSummary[] {
  const growth = Object.keys(readings.samples).flatMap((key) => {
    const alive = key.match(/^alive\.(\d+)\.cold$/)?.[1];
    return alive === undefined ? [] : [describeGrowth(Number(alive))];
  });
  return [...METRICS, ...growth]
    .filter(({ key }) => readings.samples[key] !== undefined)
    .map((metric) => summarizeMetric(metric, readings));
}

export function summarizeHolds({ holds }: Readings): HoldSummary[] {
  return [...new Set(holds.map(({ peer }) => peer))].map((peer) => {
    // Without the empty process: what the first session brings is not what a session costs.
    const steps = holds.filter((step) => step.peer === peer);
    const counted = steps.filter(({ alive }) => alive > 0);
    const slope = (read: (step: HoldReading) => number) => fitSlope(counted.map((step) => [step.alive, read(step)]));
    return {
      peer,
      rssKb: slope(({ rss }) => rss / 1000),
      heapKb: counted[0]?.heap === undefined ? undefined : slope(({ heap = 0 }) => heap / 1000),
      fds: slope(({ fds }) => fds),
      steps,
    };
  });
}

function summarizeMetric(metric: Metric, readings: Readings): MetricSummary {
  const peers: Partial<Record<PeerName, PeerFigures>> = {};
  for (const [name, reading] of Object.entries(readings.samples[metric.key] ?? {})) {
    const peer = name as PeerName;
    const { values, gaps } = reading;
    peers[peer] = {
      samples: values.length,
      median: findMedian(values),
      p95: findQuantile(values, metric.better === 'lower' ? 0.95 : 0.05),
      gapMs: findMedian(gaps),
    };
  }
  const divide = (name: PeerName): Ratios => {
    const values = readings.values(metric.key, name);
    const others = (Object.keys(peers) as PeerName[]).filter((peer) => peer !== name && values.length > 0);
    return Object.fromEntries(others.map((peer) => [peer, compareMedians(values, readings.values(metric.key, peer))]));
  };
  return {
    ...metric,
    peers,
    ratios: divide('ours'),
    leanRatios: Object.fromEntries(LEAN.map((name) => [name, divide(name)])),
  };
}

function describeGrowth(alive: number): Metric {
  return { key: nameGrowth(alive), label: `cold session, ${alive} alive`, unit: 'ms', better: 'lower' };
}
