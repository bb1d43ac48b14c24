import { expect, test } from 'vitest';
import type { HostCheck } from '../../src/index.js';
import { context } from '../support/context.js';
import { cadre } from './cadre.js';

function diagnose(...args: string[]) {
  const { status, stdout } = cadre('doctor', '--json', ...args);
  const { healthy, details } = JSON.parse(stdout) as { healthy: boolean; details: { checks: HostCheck[] } };
  return { status, healthy, checks: new Map(details.checks.map((check) => [check.name, check])) };
}

test('a host on which sessions run is healthy, and every check is told', () => {
  const { status, healthy, checks } = diagnose();
  expect({ status, healthy }).toEqual({ status: 0, healthy: true });
  expect([...checks.keys()].sort()).toEqual(
    [
      'allowlist',
      'cgroup',
      'containerd',
      'executor',
      'init',
      'network',
      'overlayfs',
      'runc',
      'seccomp',
      'shim of io.containerd.runc.v2',
    ].sort(),
  );
  expect(checks.get('containerd')?.found).toContain(context.version);
  expect(checks.get('executor')).toEqual({
    name: 'executor',
    state: 'ok',
    found: expect.stringMatching(/^supervisor: /),
  });
  const { status: tableStatus, stdout } = cadre('doctor');
  expect(tableStatus).toBe(0);
  expect(stdout).toMatch(/^STATE +CHECK +FOUND +REMEDY\n/);
});

test('Kata where there is none fails with the missing shim and how to get it', () => {
  const { status, healthy, checks } = diagnose('--runtime', 'io.containerd.kata-absent.v2');
  expect({ status, healthy }).toEqual({ status: 1, healthy: false });
  expect(checks.get('shim of io.containerd.kata-absent.v2')).toEqual({
    name: 'shim of io.containerd.kata-absent.v2',
    state: 'failed',
    found: 'no containerd-shim-kata-absent-v2 on the PATH of containerd',
    remedy:
      'install Kata Containers 3 or later and link containerd-shim-kata-absent-v2 into a directory on the PATH of containerd, such as /usr/local/bin',
  });
  expect(checks.get('kata configuration')).toMatchObject({ state: 'failed', found: 'no configuration-absent.toml' });
});

test('a socket where nobody answers fails that check alone', () => {
  const { status, checks } = diagnose('--address', '/nowhere/c.sock');
  expect(status).toBe(1);
  const failed = [...checks.values()].filter(({ state }) => state === 'failed').map(({ name }) => name);
  expect(failed).toEqual(['containerd']);
});
