/** Waits for all, so that nothing is still under way when the undo begins; then fails with the first failure. */
export async function settle<T extends readonly Promise<unknown>[]>(work: readonly [...T]) {
  await Promise.allSettled(work);
  return Promise.all(work);
}
