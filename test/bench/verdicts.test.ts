import { describe, expect, it } from 'vitest';
import { Readings } from '../../bench/metrics.js';
import { compareMedians, createRandom, findQuantile, fitSlope, shuffle } from '../../bench/stats.js';
import { summarize, summarizeHolds } from '../../bench/summary.js';
import { judge } from '../../bench/verdicts.js';

describe('statistics of the bench', () => {
  it('finds quantiles between neighbours, in any order', () => {
    expect(findQuantile([4, 1, 3, 2], 0.5)).toBe(2.5);
    expect(findQuantile([7], 0.95)).toBe(7);
    expect(findQuantile([10, 20], 0.95)).toBeCloseTo(19.5);
  });

  it('gives an interval that holds the ratio, the same each time, and none for two samples', () => {
    const [ours, theirs] = [
      [10, 11, 12, 13, 14],
      [20, 21, 22, 23, 24],
    ];
    const { value, interval } = compareMedians(ours, theirs);
    expect(value).toBeCloseTo(12 / 22);
    expect(interval?.[0]).toBeLessThanOrEqual(value);
    expect(interval?.[1]).toBeGreaterThanOrEqual(value);
    expect(compareMedians(ours, theirs).interval).toEqual(interval);
    expect(compareMedians([1, 2], [3, 4]).interval).toBeUndefined();
  });

  it('fits a slope and keeps every item when it shuffles', () => {
    expect(fitSlope([10, 100, 300].map((x) => [x, 5 * x + 7] as const))).toBeCloseTo(5);
    expect(shuffle([1, 2, 3, 4], createRandom(3)).sort()).toEqual([1, 2, 3, 4]);
  });
});

describe('judge', () => {
  const measure = (ours: number[], go: number[], key: string) => {
    const readings = new Readings();
    for (const value of ours) readings.add(key, 'ours', value, 0);
    for (const value of go) readings.add(key, 'go', value, 0);
    return judge(summarize(readings), []);
  };

  it('takes less for better where it is, and more where that is', () => {
    expect(measure([9, 9, 9], [10, 10, 10], 'cold.total')).toMatchObject([{ met: true, close: false }]);
    expect(measure([11, 11, 11], [10, 10, 10], 'cold.total')).toMatchObject([{ met: false }]);
    expect(measure([11, 11, 11], [10, 10, 10], 'rate.4')).toMatchObject([{ met: true }]);
    expect(measure([9, 9, 9], [10, 10, 10], 'rate.4')).toMatchObject([{ met: false, close: false }]);
  });

  it('says when another run may tell otherwise', () => {
    expect(measure([8, 10, 12], [8, 10, 12], 'rate.1')).toMatchObject([{ met: true, close: true }]);
  });

  it('holds a figure to a limit of its own, beside its ratio', () => {
    expect(measure([0.7, 0.7, 0.7], [30, 30, 30], 'warm.busy')).toMatchObject([
      { met: true },
      { met: true, value: 0.7 },
    ]);
    expect(measure([0.8, 0.8, 0.8], [30, 30, 30], 'warm.busy')).toMatchObject([{ met: true }, { met: false }]);
    expect(measure([1100, 1100, 1100], [500, 500, 500], 'out.rate')).toMatchObject([{ met: false }, { met: false }]);
  });

  it('compares ours with a difference with the one that its limit is of', () => {
    const readings = new Readings();
    for (const [peer, value] of [
      ['lean', 9],
      ['docker', 20],
      ['go', 10],
    ] as const) {
      for (let count = 0; count < 3; count++) readings.add('cold.total', peer, value, 0);
    }
    expect(judge(summarize(readings), [])).toMatchObject([
      { claim: expect.stringContaining('lean / docker'), met: true },
    ]);
  });

  it('judges what is there only, and a session by the slope without the empty process', () => {
    const readings = new Readings();
    for (const [alive, rss] of [
      [0, 1e6],
      [10, 60e6],
      [100, 60.9e6],
      [300, 62.9e6],
    ] as const) {
      readings.holds.push({ peer: 'ours', alive, rss, fds: 20 });
    }
    const [verdict, ...others] = judge([], summarizeHolds(readings));
    expect(others).toEqual([]);
    expect(verdict?.value).toBeCloseTo(10);
    expect(verdict?.met).toBe(true);
  });
});
