/**
 * How much slower than an ordinary machine this one is: the one factor for every deadline of the tests. Set by
 * CADRE_TEST_SLOW, for an emulated processor (scripts/vm).
 */
export const SLOWNESS = Number(process.env.CADRE_TEST_SLOW || 1);

/** A deadline of an ordinary machine, in ms, as it is here. */
export function relax(ms: number): number {
  return ms * SLOWNESS;
}
