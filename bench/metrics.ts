/** Every figure has a key; what it means and which way is better is said here, once. */
import type { PeerName } from './options.js';

export interface Metric {
  readonly key: string;
  readonly label: string;
  readonly unit: string;
  readonly better: 'lower' | 'higher';
}

const lower = (key: string, label: string, unit: string): Metric => ({ key, label, unit, better: 'lower' });
const higher = (key: string, label: string, unit: string): Metric => ({ key, label, unit, better: 'higher' });

/** In the order in which they are shown. Keys with a number of live sessions come on top, see `nameGrowth`. */
export const METRICS: readonly Metric[] = [
  lower('cold.total', 'cold session, whole', 'ms'),
  lower('cold.first', '  create to first exec result', 'ms'),
  lower('cold.create', '    of that: create', 'ms'),
  lower('cold.exec', '    of that: first exec', 'ms'),
  lower('cold.destroy', '  destroy', 'ms'),
  lower('warm.busy', 'warm exec, back to back', 'ms'),
  lower('warm.period', '  until the next can begin', 'ms'),
  lower('warm.idle', 'warm exec after 400 ms idle', 'ms'),
  higher('warm.rate', 'execs/s in one session, 16 at a time', '/s'),
  higher('out.rate', '1 GiB out', 'MB/s'),
  lower('out.cpu', '  client CPU, out', 's/GiB'),
  higher('read.rate', '1 GiB out, as a Readable', 'MB/s'),
  lower('read.cpu', '  client CPU', 's/GiB'),
  higher('in.rate', '1 GiB in', 'MB/s'),
  lower('in.cpu', '  client CPU, in', 's/GiB'),
  higher('rate.1', 'sessions/s, 1 at a time', '/s'),
  higher('rate.4', 'sessions/s, 4 at a time', '/s'),
  higher('rate.16', 'sessions/s, 16 at a time', '/s'),
];

/** The key of a cold session's time while so many others are alive. */
export const nameGrowth = (alive: number) => `alive.${alive}.cold`;

export interface Reading {
  /** Of every sample, in the order in which they were taken. */
  readonly values: number[];
  /** Ms in which no peer did anything before each sample, as it was and not as it was planned. */
  readonly gaps: number[];
}

export interface HoldReading {
  readonly peer: PeerName;
  readonly alive: number;
  readonly rss: number;
  /** Of the JavaScript heap and what hangs on it; only where there is one. */
  readonly heap?: number;
  readonly fds: number;
}

/** What was measured, by metric and peer. */
export class Readings {
  readonly samples: Record<string, Partial<Record<PeerName, Reading>>> = {};
  readonly holds: HoldReading[] = [];

  add(key: string, peer: PeerName, value: number, gapMs: number): void {
    this.samples[key] ??= {};
    const readings = this.samples[key];
    readings[peer] ??= { values: [], gaps: [] };
    readings[peer].values.push(value);
    readings[peer].gaps.push(gapMs);
  }

  values(key: string, peer: PeerName): readonly number[] {
    return this.samples[key]?.[peer]?.values ?? [];
  }
}
