import { expect, test } from 'vitest';
import { DriverError } from '../../src/core/error.js';
import { parsePolicy } from '../../src/policy/parse.js';

function listFaults(policy: object): string[] {
  try {
    parsePolicy(policy);
    return [];
  } catch (error) {
    if (!(error instanceof DriverError) || error.code !== 'invalid-argument') throw error;
    expect(JSON.stringify([error.message, error.faults])).not.toContain('topsecret');
    return error.faults.map(({ path }) => path);
  }
}

const volume = { type: 'volume', readOnly: false };

test.each([
  [{ mounts: [{ ...volume, path: 'cache', target: '/cache' }] }, []],
  [{ mounts: [{ ...volume, path: 'cache' }] }, ['mounts[0].target']],
  [{ mounts: [{ ...volume, path: '/cache', target: '/cache' }] }, ['mounts[0].path']],
  [{ mounts: [{ ...volume, path: '../cache', target: '/cache' }] }, ['mounts[0].path']],
  [{ mounts: [{ ...volume, path: '.removed', target: '/cache' }] }, ['mounts[0].path']],
  [{ mounts: [{ ...volume, path: 'a/b', target: '/cache' }] }, ['mounts[0].path']],
  [{ mounts: [{ path: 'cache', target: '/cache', readOnly: true }] }, ['mounts[0].path']],
  [{ mounts: [{ path: '/', readOnly: true }] }, ['mounts[0].path']],
  [{ mounts: [{ path: '/srv/../etc', readOnly: true }] }, ['mounts[0].path']],
  [{ mounts: [{ path: '/srv', readOnly: true, sizeBytes: 1 }] }, ['mounts[0].sizeBytes']],
  [
    {
      mounts: [
        { path: '/srv', readOnly: true },
        { path: '/opt', target: '/srv', readOnly: true },
      ],
    },
    ['mounts[1].target'],
  ],
  [{ envAllowlist: ['LANG', 'http_proxy', '__proto__'] }, []],
  [{ envAllowlist: ['AWS_*', 'A=B', ''] }, ['envAllowlist[0]', 'envAllowlist[1]', 'envAllowlist[2]']],
  [{ secrets: [{ name: 'db.password-1', value: 'topsecret' }] }, []],
  [{ secrets: [{ name: '../x', value: 'topsecret' }] }, ['secrets[0].name']],
  [{ secrets: [{ name: 'a/b', value: 'topsecret' }] }, ['secrets[0].name']],
  [{ secrets: [{ name: '.', value: 'topsecret' }] }, ['secrets[0].name']],
  [{ secrets: [{ name: 'a-b', value: 'topsecret', as: 'env' }] }, ['secrets[0].name']],
  [
    {
      secrets: [
        { name: 'a', value: 'topsecret' },
        { name: 'a', value: 'topsecret2', as: 'env' },
      ],
    },
    ['secrets[1].name'],
  ],
  [{ secrets: [{ name: 'a', value: '\u00e9'.repeat(2 ** 20 - 1) }] }, ['secrets[0].value']],
  [
    { secrets: Array.from({ length: 9 }, (_, index) => ({ name: `s${index}`, value: 'x'.repeat(2 ** 20) })) },
    ['secrets'],
  ],
])('mounts, environment and secrets, policy %#', (policy, faults) => {
  expect(listFaults(policy)).toEqual(faults);
});
