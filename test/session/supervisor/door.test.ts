import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { isOnHost } from '../../../src/session/supervisor/door.js';

const root = mkdtempSync(join(tmpdir(), 'cadre-door-'));
afterAll(() => rmSync(root, { recursive: true }));
const program = join(root, 'program');
writeFileSync(program, '');

/** What /proc shows of a first process, whose root directory is another one. */
function makeFirst(name: string, { namespace, copies }: { namespace: string; copies: boolean }): string {
  const first = join(root, name);
  mkdirSync(join(first, 'ns'), { recursive: true });
  symlinkSync(namespace, join(first, 'ns/mnt'));
  const theirs = join(first, 'root', program);
  mkdirSync(dirname(theirs), { recursive: true });
  if (copies) copyFileSync(program, theirs);
  return first;
}

test('a file is the host’s where it is the same one, not where it is absent or another', () => {
  expect(isOnHost(program, makeFirst('absent', { namespace: 'mnt:[1]', copies: false }))).toBe(false);
  expect(isOnHost(program, makeFirst('other', { namespace: 'mnt:[1]', copies: true }))).toBe(false);
  const shared = makeFirst('shared', { namespace: 'mnt:[1]', copies: false });
  rmSync(join(shared, 'root'), { recursive: true });
  symlinkSync('/', join(shared, 'root'));
  expect(isOnHost(program, shared)).toBe(true);
});

test('what cannot be looked at is taken to be the host’s', () => {
  expect(isOnHost(program, join(root, 'nobody'))).toBe(true);
});
