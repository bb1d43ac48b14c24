import { expect, test } from 'vitest';
import { findTop, locate, parseMountTable } from '../../src/session/mount-table.js';

const table = parseMountTable(
  [
    '46 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard',
    '50 46 0:20 / /srv rw - tmpfs tmpfs rw,size=64k',
    '51 50 254:0 /data/a\\040b /srv ro,nosuid master:1 - ext4 /dev/vda rw',
    '52 51 0:21 / /srv/in rw - tmpfs tmpfs rw',
    '',
  ].join('\n'),
);

test('optional fields and octal escapes are read', () => {
  expect(table[2]).toMatchObject({ root: '/data/a b', options: ['ro', 'nosuid'], type: 'ext4', superOptions: ['rw'] });
});

test('of several mounts at a place the one on top is seen', () => {
  expect(findTop(table, '/srv')?.id).toBe('51');
  expect(findTop(table, '/nowhere')).toBeUndefined();
});

test.each([
  ['/', '254:0 /'],
  ['/etc/passwd', '254:0 /etc/passwd'],
  ['/srv', '254:0 /data/a b'],
  ['/srv/x', '254:0 /data/a b/x'],
  ['/srv/in/y', '0:21 /y'],
  ['/srv2', '254:0 /srv2'],
])('%s is %s', (path, place) => {
  expect(locate(table, path)).toBe(place);
});

test('nothing is mounted nowhere', () => {
  expect(locate([], '/x')).toBeUndefined();
});
