import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ContentService } from '../../src/generated/github.com/containerd/containerd/api/services/content/v1/content.js';
import { pullImage } from '../../src/image/pull.js';
import { pushImage } from '../../src/image/push.js';
import type { RegistryOptions } from '../../src/image/registry/options.js';
import { Channel } from '../../src/rpc/channel.js';
import { observeApi } from '../support/api-state.js';
import { context } from '../support/context.js';
import { type FaultProxy, startFaultProxy } from '../support/fault-proxy.js';
import { makeAuthority, startRegistry, type TestAuthority, type TestRegistry } from '../support/registry.js';
import { image, layer } from './archives.js';
import { publish } from './publish.js';
import { expectNothingStays } from './store.js';
import { ISSUER, SERVICE, startTokenService, type TokenService } from './token-service.js';

const username = 'agent';
const password = 'planted-pass:w0rd';
const encoded = Buffer.from(`${username}:${password}`).toString('base64');
const refreshToken = 'planted-refresh-token';

const channel = new Channel(context);
const directory = mkdtempSync(join(tmpdir(), 'cadre-auth-'));
const bin = join(directory, 'bin');
const oldPath = process.env.PATH;
let authority: TestAuthority;
let secure: TestRegistry;
let tokens: TokenService;
let guarded: TestRegistry;
let plain: TestRegistry;
let mirror: FaultProxy;

beforeAll(async () => {
  authority = makeAuthority(directory);
  const { certificate, key, ca } = authority;
  secure = await startRegistry({ tls: { certificate, key, clientCa: ca }, basic: { username, password } });
  tokens = await startTokenService(authority, { authorization: `Basic ${encoded}`, refreshToken });
  guarded = await startRegistry({ token: { realm: tokens.realm, service: SERVICE, issuer: ISSUER, certificates: ca } });
  plain = await startRegistry();
  mirror = await startFaultProxy(plain.host);
  writeHelper('planted', `printf '{"ServerURL":"%s","Username":"${username}","Secret":"${password}"}' "$server"`);
  writeHelper('token', `printf '{"Username":"<token>","Secret":"${refreshToken}"}'`);
  writeHelper('none', 'echo "credentials not found in native keychain"; exit 1');
  writeHelper('broken', `echo "${password}"; exit 3`);
  process.env.PATH = `${bin}${delimiter}${oldPath}`;
});
afterAll(async () => {
  process.env.PATH = oldPath;
  for (const each of [secure, guarded, plain, mirror, tokens]) await each.stop();
  channel.close();
  rmSync(directory, { recursive: true });
});
afterEach(() => expectNothingStays(channel));

function writeHelper(name: string, script: string): void {
  mkdirSync(bin, { recursive: true });
  const path = join(bin, `docker-credential-${name}`);
  writeFileSync(path, `#!/bin/sh\n[ "$1" = get ] || exit 2\nread -r server\n${script}\n`);
  chmodSync(path, 0o755);
}

let files = 0;
function writeConfig(config: unknown): { dockerConfig: string } {
  files += 1;
  const dockerConfig = join(directory, `config-${files}.json`);
  writeFileSync(dockerConfig, typeof config === 'string' ? config : JSON.stringify(config));
  return { dockerConfig };
}

/** With relative paths of files of the authority. */
function writeHosts(host: string, toml: string): { hostsDirectory: string } {
  files += 1;
  const hostsDirectory = join(directory, `certs.d-${files}`);
  mkdirSync(join(hostsDirectory, host), { recursive: true });
  writeFileSync(join(hostsDirectory, host, 'hosts.toml'), toml.replaceAll('DIR', directory));
  return { hostsDirectory };
}

const TLS = 'ca = "DIR/ca.pem"\nclient = [["DIR/client.pem", "DIR/client.key"]]\n';
const base = { retries: 0, dockerConfig: '/none/config.json' };

/** What fails says why, and nothing of what we have says what it must not. */
async function pull(reference: string, registry: RegistryOptions): Promise<unknown> {
  const outcome = await pullImage(channel, reference, { registry: { ...base, ...registry } }).catch(
    (error: unknown) => error,
  );
  const { content, leases, images } = await observeApi(context);
  const labels = await Promise.all(
    content.map(async (digest) => (await channel.unary(ContentService.info, { digest })).info?.labels),
  );
  const all = inspect({ outcome, labels, leases, images, message: String(outcome) }, { depth: 20, showHidden: true });
  for (const secret of ['planted', encoded]) expect(all).not.toContain(secret);
  return outcome;
}

describe('TLS with its own CA, client certificates and a password', () => {
  const app = image({ layers: [layer('secure')] });
  let reference: string;
  let hosts: { hostsDirectory: string };
  beforeAll(async () => {
    hosts = writeHosts(secure.host, TLS);
    const registry = { ...base, ...hosts, credentials: { [secure.host]: { username, password } } };
    reference = await publish(`${secure.host}/team/app:1`, app, registry);
  });

  const accepted: [string, (host: string) => RegistryOptions][] = [
    ['the option', (host) => ({ credentials: { [host]: { username, password } } })],
    ['auths', (host) => writeConfig({ auths: { [`https://${host}/v1/`]: { auth: encoded } } })],
    ['a helper of the host', (host) => writeConfig({ credHelpers: { [host]: 'planted' }, credsStore: 'none' })],
    ['the common helper', () => writeConfig({ credsStore: 'planted' })],
    [
      'auths, where the common helper has none',
      (host) => writeConfig({ credsStore: 'none', auths: { [host]: { username, password } } }),
    ],
  ];
  test.each(accepted)('credentials from %s', async (_, given) => {
    expect(await pull(reference, { ...hosts, ...given(secure.host) })).toMatchObject({ name: reference });
  });

  const refused: [string, () => RegistryOptions, string, string][] = [
    ['no credentials', () => hosts, 'permission-denied', 'none are configured'],
    [
      'a wrong password',
      () => ({ ...hosts, credentials: { [secure.host]: { username, password: 'planted-wrong' } } }),
      'permission-denied',
      'answers 401 (UNAUTHORIZED)',
    ],
    [
      'credentials of another host',
      () => ({ ...hosts, ...writeConfig({ auths: { [plain.host]: { auth: encoded } } }) }),
      'permission-denied',
      'none are configured',
    ],
    ['an unknown CA', () => ({}), 'failed-precondition', 'no TLS that is trusted'],
    [
      'a helper that fails',
      () => ({ ...hosts, ...writeConfig({ credsStore: 'broken' }) }),
      'failed-precondition',
      'exit code 3',
    ],
    [
      'a helper that is missing',
      () => ({ ...hosts, ...writeConfig({ credsStore: 'missing' }) }),
      'failed-precondition',
      'cannot be run: ENOENT',
    ],
    [
      'a helper that is a path',
      () => ({ ...hosts, ...writeConfig({ credsStore: '../../bin/sh' }) }),
      'failed-precondition',
      'no plain name',
    ],
    [
      'a configuration that is not JSON',
      () => ({ ...hosts, ...writeConfig(`{"auths": "${password}`) }),
      'failed-precondition',
      'is not the JSON',
    ],
    [
      'plain HTTP where TLS is',
      () => ({ ...hosts, ...writeHosts(secure.host, `server = "http://${secure.host}"`) }),
      'invalid-argument',
      'answers 400',
    ],
  ];
  test.each(refused)('%s is refused', async (_, given, code, says) => {
    const error = await pull(reference, given());
    expect(error).toMatchObject({ name: 'DriverError', code, message: expect.stringContaining(says) });
  });

  test('no client certificate is refused', async () => {
    const error = await pull(reference, writeHosts(secure.host, 'ca = "DIR/ca.pem"'));
    // With TLS 1.3 the server says so after the handshake, and the connection may end before that is heard.
    expect(error).toMatchObject({ code: expect.stringMatching(/^(failed-precondition|unavailable)$/) });
  });

  test('an unknown CA is passed over when it is asked for', async () => {
    const skipping = writeHosts(secure.host, TLS.replace('ca = "DIR/ca.pem"', 'skip_verify = true'));
    const credentials = { [secure.host]: { username, password } };
    expect(await pull(reference, { ...skipping, credentials })).toMatchObject({ name: reference });
  });
});

describe('tokens', () => {
  const app = image({ layers: [layer('one'), layer('two'), layer('three')] });
  let reference: string;
  beforeAll(async () => {
    const registry = { ...base, credentials: { [guarded.host]: { username, password } } };
    reference = await publish(`${guarded.host}/team/app:1`, app, registry);
  });

  test('one for all requests of a pull, by password', async () => {
    tokens.asked.length = 0;
    const credentials = { [guarded.host]: { username, password } };
    expect(await pull(reference, { credentials })).toMatchObject({ name: reference });
    expect(tokens.asked).toEqual([
      {
        parameters: { service: SERVICE, scope: 'repository:team/app:pull' },
        scopes: ['repository:team/app:pull'],
        authorization: `Basic ${encoded}`,
      },
    ]);
  });

  test('a new one when it has run out', async () => {
    tokens.asked.length = 0;
    tokens.expiresIn = 1;
    const credentials = { [guarded.host]: { username, password } };
    expect(await pull(reference, { credentials })).toMatchObject({ name: reference });
    tokens.expiresIn = 300;
    expect(tokens.asked.length).toBeGreaterThan(1);
  });

  test('by the refresh token of a helper, which no URL carries', async () => {
    tokens.asked.length = 0;
    const config = writeConfig({ credHelpers: { [guarded.host]: 'token' } });
    expect(await pull(reference, config)).toMatchObject({ name: reference });
    expect(tokens.asked).toMatchObject([{ parameters: { grant_type: 'refresh_token' }, authorization: undefined }]);
  });

  test('a push asks for both repositories that a mount needs', async () => {
    const credentials = { [guarded.host]: { username, password } };
    await pull(reference, { credentials });
    tokens.asked.length = 0;
    await pushImage(channel, reference, { to: `${guarded.host}/other:1`, registry: { ...base, credentials } });
    expect(tokens.asked.map(({ scopes }) => scopes)).toContainEqual([
      'repository:other:pull,push',
      'repository:team/app:pull',
    ]);
  });

  test('a wrong password is refused by the service', async () => {
    const error = await pull(reference, { credentials: { [guarded.host]: { username, password: 'planted-wrong' } } });
    expect(error).toMatchObject({ code: 'permission-denied', message: expect.stringContaining('answers 401') });
  });
});

describe('mirrors', () => {
  const app = image({ layers: [layer('mirrored')] });
  beforeAll(() => publish(`${plain.host}/team/app:1`, app));
  afterEach(() => mirror.reset());

  test('are asked first, in their order, with their headers and the name of the registry', async () => {
    const toml = `server = "http://${plain.host}"
[host."http://127.0.0.1:1"]
  capabilities = ["pull", "resolve"]
[host."http://${mirror.host}"]
  capabilities = ["pull", "resolve"]
  [host."http://${mirror.host}".header]
    authorization = "planted-header"
`;
    const hosts = writeHosts('registry.test', toml);
    expect(await pull('registry.test/team/app:1', hosts)).toMatchObject({ name: 'registry.test/team/app:1' });
    expect(mirror.seen.length).toBe(3);
    expect(mirror.seen.every(({ url }) => url.includes('ns=registry.test'))).toBe(true);
    expect(mirror.seen.every(({ authorization }) => authorization === 'planted-header')).toBe(true);
  });

  test('that lack something, or fail, are passed over', async () => {
    const toml = `server = "http://${plain.host}"\n[host."http://${mirror.host}"]\n`;
    const hosts = writeHosts('registry.test', toml);
    for (const fault of [{ answer: { status: 404 } }, { answer: { status: 500 } }, { cutAfter: 1 }]) {
      mirror.fault = () => fault;
      expect(await pull('registry.test/team/app:1', hosts)).toMatchObject({ name: 'registry.test/team/app:1' });
      await expectNothingStays(channel);
    }
  });

  test('without the capability are not asked', async () => {
    const toml = `server = "http://${plain.host}"\n[host."http://${mirror.host}"]\n  capabilities = ["push"]\n`;
    const hosts = writeHosts('registry.test', toml);
    expect(await pull('registry.test/team/app:1', hosts)).toMatchObject({ name: 'registry.test/team/app:1' });
    expect(mirror.seen).toEqual([]);
  });

  test('all failing: the failure of the registry itself, with the others', async () => {
    mirror.fault = () => ({ answer: { status: 403 } });
    const toml = `server = "http://${plain.host}"\n[host."http://${mirror.host}"]\n`;
    const error = await pull('registry.test/team/none:1', writeHosts('registry.test', toml));
    expect(error).toMatchObject({ code: 'not-found', suppressed: [{ code: 'permission-denied' }] });
  });
});

test('without TLS only this machine is spoken to, unless it is asked for', async () => {
  const plainName = plain.host.replace('127.0.0.1', '0.0.0.0');
  const reference = `${plainName}/team/app:1`;
  expect(await pull(reference, {})).toMatchObject({ code: 'failed-precondition' });
  expect(await pull(reference, { plainHttp: [plainName] })).toMatchObject({ name: reference });
});
