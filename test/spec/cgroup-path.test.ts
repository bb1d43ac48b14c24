import { expect, test } from 'vitest';
import { locateCgroup, nameCgroup } from '../../src/spec/cgroup-path.js';

test.each([
  [false, '/cadre/s1', '/cadre/s1'],
  [true, 'system.slice:cadre:s1', '/system.slice/cadre-s1.scope'],
])('systemd %s: %s is %s', (systemd, name, place) => {
  expect(nameCgroup('cadre', 's1', { systemd })).toBe(name);
  expect(locateCgroup(name)).toBe(place);
});
