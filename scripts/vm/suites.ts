/** What `npm run test:vm` runs in the guest, on every generation of containerd. */
export const SUITES: readonly string[] = ['test/session/contract.e2e.test.ts', 'test/provider/framework.e2e.test.ts'];
