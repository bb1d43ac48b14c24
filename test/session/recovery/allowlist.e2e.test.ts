import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type AuditEvent, ContainerdProvider, type IsolationPolicy, type Session } from '../../../src/index.js';
import { nameStateDirectory } from '../../../src/session/context.js';
import { readOptional } from '../../../src/session/proc.js';
import { listFaults } from '../../support/attested.js';
import { context } from '../../support/context.js';
import { observe, settle } from '../../support/leaks.js';
import { relax } from '../../support/patience.js';
import { detector, openPrivateHost } from './private.js';
import { Worker } from './worker.js';

const { scope, options, provider, channel, reapAll } = await openPrivateHost();
const directory = nameStateDirectory(scope.stateRoot, channel);
const hasUserns = provider.capabilities().unsupported.userns === undefined && context.generation.startsWith('2.');
const run = promisify(execFile);
const SOON = { timeout: relax(20_000), interval: 200 };

/** An address of the host's, which is closed unless it is named, and a server at each of two ports. */
const HOST = '203.0.113.77';
const device = `cadre${process.pid}`.slice(-15);
const servers: Server[] = [];
let web = 0;
let other = 0;
beforeAll(async () => {
  execFileSync('ip', ['link', 'add', device, 'type', 'bridge']);
  execFileSync('ip', ['address', 'add', `${HOST}/32`, 'dev', device]);
  execFileSync('ip', ['link', 'set', device, 'up']);
  [web, other] = (await Promise.all([serve('web'), serve('other')])) as [number, number];
});
afterAll(() => {
  for (const server of servers) server.close();
  execFileSync('ip', ['link', 'delete', device]);
});

async function serve(name: string): Promise<number> {
  const server = createServer((socket) => socket.on('error', () => undefined).end(name)).listen(0, HOST);
  servers.push(server);
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

const asPolicy = () => ({ networkMode: 'allowlist' as const, network: { allow: [`${HOST}:${web}`] } });

/** What a process of the session gets, without a call that would take the session up. */
async function get(id: string, port = web): Promise<string> {
  const script = `timeout 5 busybox nc ${HOST} ${port} </dev/null || true`;
  const args = [`--net=${join(directory, id, 'netns')}`, 'sh', '-c', script];
  return (await run('nsenter', args)).stdout.trim();
}

/** Helpers of this file's sessions, by their arguments. */
function listHelpers(): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      const words = readOptional(`/proc/${pid}/cmdline`) ?? '';
      return words.includes(`${scope.stateRoot}/`) && words.includes('gate-linux');
    });
}

const readInit = async (session: Session) => (await session.exec('cat', ['/proc/1/stat'])).stdout.split(' ')[21];

test('what nobody enforces is closed, and opens when it is taken up, with the session as it was', async () => {
  const before = await observe(scope);
  const worker = new Worker(options);
  const id = await worker.tell('create', { ...asPolicy(), ttlMs: 600_000 });
  expect(await get(id)).toBe('web');
  expect(await get(id, other)).toBe('');
  const late = worker.tell('create', asPolicy()).catch(() => undefined);
  await worker.kill();
  await late;
  expect(await get(id)).toBe('');

  const session = await provider.connect(id);
  const born = await readInit(session);
  expect(await get(id)).toBe('web');
  expect(listFaults(await session.verify())).toEqual([]);
  expect(await session.info()).toMatchObject({ allow: [`${HOST}:${web}`] });

  // Of two, one enforces, and the other takes its place.
  await using second = new ContainerdProvider(options, detector);
  const enough = new AbortController();
  const enforcing = second.enforce({ signal: enough.signal });
  const [helper = 0, ...none] = listHelpers();
  expect(none).toEqual([]);
  process.kill(helper, 'SIGKILL');
  await expect.poll(() => get(id), SOON).toBe('web');

  // Rules are changed by whoever has the session, and hold wherever they are enforced.
  const elsewhere = await second.connect(id);
  await elsewhere.update({ network: { allow: [`${HOST}:${other}`] } });
  await expect.poll(() => get(id, other), SOON).toBe('other');
  expect(await get(id)).toBe('');
  expect(await session.info()).toMatchObject({ allow: [`${HOST}:${other}`] });

  await session.stop({ timeoutMs: 100 });
  await session.start();
  expect(await get(id, other)).toBe('other');
  expect(await readInit(session)).not.toBe(born);
  const [fork] = await session.fork();
  expect(await get(fork?.sessionId ?? '', other)).toBe('other');

  await Promise.all([fork?.destroy(), elsewhere.destroy()]);
  enough.abort();
  await enforcing;
  await reapAll();
  expect(await settle(scope, before)).toEqual(before);
  await expect.poll(listHelpers, SOON).toEqual([]);
  expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(`${directory}/`);
});

test('in a user namespace, whose network is its own', async ({ skip }) => {
  skip(!hasUserns, 'user namespaces are of containerd 2, on kernels that map the ids of layers');
  await using session = await provider.createSession({ ...asPolicy(), userns: true });
  for (const _ of ['made', 'started again']) {
    expect(await get(session.sessionId)).toBe('web');
    expect(await get(session.sessionId, other)).toBe('');
    await session.stop({ timeoutMs: 100 });
    await session.start();
  }
});

test('what is neither TCP nor a question goes nowhere, and is told of', async () => {
  const events: AuditEvent[] = [];
  await using audited = new ContainerdProvider(
    { ...options, audit: { write: (event) => void events.push(event) } },
    detector,
  );
  await using session = await audited.createSession({ networkMode: 'allowlist' });
  const net = `--net=${join(directory, session.sessionId, 'netns')}`;
  const script = `
    const { createSocket } = require('node:dgram');
    createSocket('udp4').send('x', 5353, '${HOST}');
    createSocket('udp6').send('x', 5354, '2001:db8::1');
    createSocket('udp4').send('x', 5355, '169.254.213.1');
    require('node:net').connect(${web}, '${HOST}').on('close', () => process.exit()).on('error', () => {});`;
  await run('nsenter', [net, process.execPath, '--eval', script]);
  const list = () => events.flatMap(({ denied }) => denied ?? []);
  for (const expected of [
    { protocol: 'udp', address: HOST, port: 5353 },
    { protocol: 'udp', address: '2001:db8::1', port: 5354 },
    { protocol: 'udp', address: '169.254.213.1', port: 5355 },
    { protocol: 'tcp', address: HOST, port: web },
  ]) {
    await expect.poll(list, SOON).toContainEqual(expect.objectContaining(expected));
  }
  expect(events.find(({ denied }) => denied !== undefined)).toMatchObject({
    action: 'reach',
    outcome: 'denied',
    sessionId: session.sessionId,
  });
});

const allow = ['example.org'];
test.each([
  ['network.ports', { networkMode: 'allowlist', network: { allow, ports: [80] } }],
  ['network.name', { networkMode: 'allowlist', network: { allow, name: 'default' } }],
  ['network.bandwidthKbps', { networkMode: 'allowlist', network: { allow, bandwidthKbps: 1000 } }],
  ['network.allow', { networkMode: 'full', network: { allow } }],
] as const)('%s is refused by name', async (path, { networkMode, network }) => {
  const asked = { networkMode, network: { ...network, allow: [...allow] } };
  await expect(provider.createSession(asked as IsolationPolicy)).rejects.toMatchObject({ faults: [{ path }] });
});
