import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, test } from 'vitest';
import { isLoopback } from '../../../src/image/registry/endpoint.js';
import { readEndpoints } from '../../../src/image/registry/hosts.js';
import { resolveRegistryOptions } from '../../../src/image/registry/options.js';

const hostsDirectory = mkdtempSync(join(tmpdir(), 'cadre-hosts-'));
afterAll(() => rmSync(hostsDirectory, { recursive: true }));
beforeEach(() => {
  rmSync(hostsDirectory, { recursive: true });
  mkdirSync(hostsDirectory);
});

function write(host: string, name: string, text: string): void {
  mkdirSync(join(hostsDirectory, host), { recursive: true });
  writeFileSync(join(hostsDirectory, host, name), text);
}

async function read(registry: string, plainHttp: string[] = []) {
  const endpoints = await readEndpoints(registry, { hostsDirectory, plainHttp });
  return endpoints.map(({ base, ...rest }) => ({ base: base.href, ...rest }));
}

test.each([
  ['docker.io', 'https://registry-1.docker.io/v2', false],
  ['registry.test:5000', 'https://registry.test:5000/v2', false],
  ['127.0.0.1:5000', 'https://127.0.0.1:5000/v2', true],
  ['plain.test', 'http://plain.test/v2', false],
])('%s without a file', async (registry, base, isGuess) => {
  const tls = { ca: [], certificates: [], skipVerify: false };
  expect(await read(registry, ['plain.test'])).toEqual([
    { base, isGuess, capabilities: ['pull', 'resolve', 'push'], tls, headers: {}, connectTimeoutMs: 30_000 },
  ]);
});

test('every field of the file, hosts in their order, the server last', async () => {
  write('registry.test_5000_', 'ca.pem', 'CA');
  write('registry.test_5000_', 'both.pem', 'BOTH');
  write('registry.test_5000_', 'key.pem', 'KEY');
  write(
    'registry.test_5000_',
    'hosts.toml',
    `server = "https://real.test"
ca = "ca.pem"
[host."https://z.test/base/v2"]
  override_path = true
  capabilities = ["pull"]
  ca = ["ca.pem", "both.pem"]
  client = [["both.pem", "key.pem"], "both.pem"]
  dial_timeout = "1m1.5s"
  [host."https://z.test/base/v2".header]
    X-One = "1"
    x-two = ["2", "3"]
[host."http://a.test/sub"]
  skip_verify = true
`,
  );
  expect(await read('registry.test:5000')).toMatchObject([
    {
      base: 'https://z.test/base/v2',
      capabilities: ['pull'],
      tls: {
        ca: ['CA', 'BOTH'],
        certificates: [
          { cert: 'BOTH', key: 'KEY' },
          { cert: 'BOTH', key: 'BOTH' },
        ],
        skipVerify: false,
      },
      headers: { 'x-one': '1', 'x-two': '2, 3' },
      connectTimeoutMs: 61_500,
    },
    { base: 'http://a.test/sub/v2', capabilities: ['pull', 'resolve', 'push'], tls: { skipVerify: true } },
    { base: 'https://real.test/v2', tls: { ca: ['CA'] } },
  ]);
});

test('a file of its own goes before that of all, and certificates alone are of the registry', async () => {
  write('_default', 'hosts.toml', 'server = "https://default.test"');
  write('own.test', 'hosts.toml', 'server = "https://docker.io"');
  write('certs.test', 'ca.crt', 'CA');
  write('certs.test', 'client.cert', 'CERT');
  write('certs.test', 'client.key', 'KEY');
  expect(await read('own.test')).toMatchObject([{ base: 'https://registry-1.docker.io/v2' }]);
  expect(await read('other.test')).toMatchObject([{ base: 'https://default.test/v2' }]);
  const tls = { ca: ['CA'], certificates: [{ cert: 'CERT', key: 'KEY' }], skipVerify: false };
  expect(await read('certs.test')).toMatchObject([{ base: 'https://certs.test/v2', tls }]);
});

test.each([
  ['server = 1', 'server is not a text'],
  ['[host."https://a.test"]\ncapabilities = ["fly"]', 'capability "fly" is not one of pull, resolve, push'],
  ['[host."https://a.test"]\nskip_verify = "yes"', 'skip_verify is not true or false'],
  ['[host."https://a.test"]\nskipverify = true', 'skipverify is not one of'],
  ['[host."https://a.test"]\nca = "none.pem"', 'none.pem cannot be read: ENOENT'],
  ['[host."https://a.test"]\nclient = [["a", "b", "c"]]', 'client is not a certificate and its key'],
  ['[host."https://a.test"]\ndial_timeout = "soon"', 'dial_timeout is not a duration'],
  ['[host."https://user:planted@a.test"]', 'has credentials in its URL'],
  ['[host."https://a b"]', 'is not a URL'],
  ['header = { x = 1 }', 'neither a text nor a list'],
  ['a = "planted', 'is not TOML'],
])('%s is refused', async (text, says) => {
  write('registry.test', 'hosts.toml', text);
  const error = await readEndpoints('registry.test', { hostsDirectory, plainHttp: [] }).catch((cause: Error) => cause);
  expect(error).toMatchObject({ code: 'failed-precondition', message: expect.stringContaining(says) });
  expect((error as Error).message).not.toContain('planted');
});

test.each([
  ['localhost', true],
  ['localhost:5000', true],
  ['a.localhost', true],
  ['127.9.9.9:1', true],
  ['[::1]:5000', true],
  ['127.example.test', false],
  ['localhost.test', false],
  ['10.0.0.1', false],
])('%s is this machine: %s', (host, is) => {
  expect(isLoopback(host)).toBe(is);
});

test('options: every fault at once, no secret in any', () => {
  const given = {
    retries: -1,
    credentials: { 'registry.test': { username: 'x', password: 'planted', token: 'planted' } },
    passwords: 'planted',
    dockerConfig: 'relative',
  };
  let message = '';
  try {
    resolveRegistryOptions(given as never);
  } catch (error) {
    message = (error as Error).message;
  }
  for (const field of ['retries', 'credentials["registry.test"].token', 'passwords', 'dockerConfig']) {
    expect(message).toContain(`${field} = `);
  }
  expect(message).not.toContain('planted');
  expect(resolveRegistryOptions({}, { DOCKER_CONFIG: '/d' }).dockerConfig).toBe('/d/config.json');
});
