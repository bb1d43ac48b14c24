/** The value below which a share of the others lies, linear between neighbours. */
export function findQuantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * share;
  const low = sorted[Math.floor(at)] ?? Number.NaN;
  const high = sorted[Math.ceil(at)] ?? Number.NaN;
  return low + (high - low) * (at - Math.floor(at));
}

export function findMedian(values: readonly number[]): number {
  return findQuantile(values, 0.5);
}

export interface Ratio {
  readonly value: number;
  /** Where the ratio lies with a chance of 95 % (bootstrap); undefined for fewer than three samples. */
  readonly interval: readonly [number, number] | undefined;
}

const RESAMPLES = 1_000;

/** The ratio of two medians. */
export function compareMedians(ours: readonly number[], theirs: readonly number[]): Ratio {
  const value = findMedian(ours) / findMedian(theirs);
  if (Math.min(ours.length, theirs.length) < 3) return { value, interval: undefined };
  // A fixed seed: the same samples always give the same interval.
  const random = createRandom(1);
  const pick = (values: readonly number[]) => values.map(() => values[Math.floor(random() * values.length)] as number);
  const ratios = Array.from({ length: RESAMPLES }, () => findMedian(pick(ours)) / findMedian(pick(theirs)));
  return { value, interval: [findQuantile(ratios, 0.025), findQuantile(ratios, 0.975)] };
}

/** The slope of a straight line through the points, by least squares. */
export function fitSlope(points: readonly (readonly [number, number])[]): number {
  const meanX = points.reduce((sum, [x]) => sum + x, 0) / points.length;
  const meanY = points.reduce((sum, [, y]) => sum + y, 0) / points.length;
  const above = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  const below = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  return above / below;
}

/** mulberry32: small, and good enough to shuffle and to resample. */
export function createRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function shuffle<T>(items: readonly T[], random: () => number): T[] {
  const mixed = [...items];
  for (let last = mixed.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [mixed[last], mixed[other]] = [mixed[other] as T, mixed[last] as T];
  }
  return mixed;
}
