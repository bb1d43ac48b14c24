import { expect, test } from 'vitest';
import { chooseResolver } from '../../src/network/names.js';

test('of the resolver of the host, servers that only it reaches are left out', () => {
  const text =
    '# made by x\nnameserver 127.0.0.53\nnameserver ::1\nnameserver 192.0.2.1\noptions edns0\nsearch a.test\n';
  expect(chooseResolver(text)).toBe('nameserver 192.0.2.1\noptions edns0\nsearch a.test\n');
  expect(chooseResolver('')).toBe('');
});
