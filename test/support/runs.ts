/** Cases of one property: `npm run test:property` has ten times as many, or as CADRE_PROPERTY_SCALE says. */
export function countRuns(cases: number): number {
  return Math.round(cases * Number(process.env.CADRE_PROPERTY_SCALE ?? 1));
}
