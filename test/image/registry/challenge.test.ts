import { expect, test } from 'vitest';
import { parseChallenges } from '../../../src/image/registry/challenge.js';

test.each([
  ['Basic realm="a b"', [{ scheme: 'basic', parameters: { realm: 'a b' } }]],
  [
    'Bearer realm="https://auth.test/token",service="s",scope="repository:a/b:pull,push"',
    [
      {
        scheme: 'bearer',
        parameters: { realm: 'https://auth.test/token', service: 's', scope: 'repository:a/b:pull,push' },
      },
    ],
  ],
  [
    'Negotiate, BEARER Realm=x , service = "q\\"uoted", Basic realm="second"',
    [
      { scheme: 'negotiate', parameters: {} },
      { scheme: 'bearer', parameters: { realm: 'x', service: 'q"uoted' } },
      { scheme: 'basic', parameters: { realm: 'second' } },
    ],
  ],
  ['', []],
  ['"', []],
  ['Bearer realm="open', [{ scheme: 'bearer', parameters: {} }]],
])('%s', (header, challenges) => {
  expect(parseChallenges(header)).toEqual(challenges);
});
