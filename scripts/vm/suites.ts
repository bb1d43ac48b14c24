/** What `npm run test:vm` runs in the guest on every generation of containerd. */
export const EVERYWHERE: readonly string[] = [
  'test/session/contract.e2e.test.ts',
  'test/session/cgroup-v2.e2e.test.ts',
];

/** And on the newest, as what it shows is the kernel's and the runtime's part. */
export const NEWEST: readonly string[] = [
  'test/provider/framework.e2e.test.ts',
  'test/session/apparmor.e2e.test.ts',
  'test/session/io-weight.e2e.test.ts',
  'test/session/runtime-binary.e2e.test.ts',
  'test/session/systemd-cgroup.e2e.test.ts',
  'test/session/userns.e2e.test.ts',
];

/** With --all, on every generation. They change or count what all sessions of a machine share: one after another. */
export const HOST_WIDE: readonly string[] = [
  'test/abuse/attempts.e2e.test.ts',
  'test/abuse/bombs.e2e.test.ts',
  'test/abuse/escapes.e2e.test.ts',
  'test/cli/doctor.e2e.test.ts',
  'test/network/allowlist.e2e.test.ts',
  'test/session/network.e2e.test.ts',
  'test/session/recovery/allowlist.e2e.test.ts',
  'test/session/recovery/lifecycle.e2e.test.ts',
  'test/session/recovery/loss.e2e.test.ts',
  'test/session/recovery/move.e2e.test.ts',
  'test/session/recovery/network.e2e.test.ts',
  'test/session/recovery/pool.e2e.test.ts',
  'test/session/recovery/reap.e2e.test.ts',
  'test/session/recovery/restart.e2e.test.ts',
  'test/session/recovery/shim-group.e2e.test.ts',
];

/** With --all, on every generation, beside those. */
export const FURTHER: readonly string[] = [
  'test/cli/life.e2e.test.ts',
  'test/provider/pool.e2e.test.ts',
  'test/session/attach.e2e.test.ts',
  'test/session/commit.e2e.test.ts',
  'test/session/exec-input.e2e.test.ts',
  'test/session/exec-kill.e2e.test.ts',
  'test/session/exec-options.e2e.test.ts',
  'test/session/exec-spawn.e2e.test.ts',
  'test/session/fork.e2e.test.ts',
  'test/session/lifecycle.e2e.test.ts',
  'test/session/logs.e2e.test.ts',
  'test/session/main.e2e.test.ts',
  'test/session/mounts.e2e.test.ts',
  'test/session/secrets.e2e.test.ts',
  'test/session/stats.e2e.test.ts',
  'test/session/supervisor',
  'test/session/update.e2e.test.ts',
  'test/session/verify/verify.e2e.test.ts',
];
