import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AuditEvent, Session } from '../../src/index.js';
import { hashBytes, openInternet } from '../support/internet/internet.js';
import { type Attempt, makeProber } from '../support/internet/prober.js';
import { relax } from '../support/patience.js';
import { openProvider } from '../support/provider.js';
import { ALLOWED, type Attack, listAttacks, listRecords } from './attacks.js';

/** What an attempt comes to that no server has answered. */
const FAILED = expect.stringMatching(/^-/);
/** For what is told beside the attempt, on a machine that is busy, in ms. */
const SOON_MS = relax(20_000);

const internet = await openInternet({ metadata: true });
afterAll(() => internet.stop());
const prober = makeProber(internet);
afterAll(() => prober.remove());
const events: AuditEvent[] = [];
const provider = await openProvider({
  audit: { write: (event) => void events.push(event) },
  policy: {
    networkMode: 'full',
    network: { dns: [internet.dns] },
    mounts: [prober.mount],
    capabilities: { add: ['NET_RAW'] },
  },
});
const { web, other, rogue, six } = internet;

let host: Server;
let neighbour: Session;
let open: Session;
let closed: Session;
let attacks: Attack[];
beforeAll(async () => {
  await internet.setRecords(listRecords(internet));
  host = createServer((socket) => void socket.pipe(socket)).listen(0, internet.gateway);
  await once(host, 'listening');
  await provider.networks.create('shared');
  const shared = { network: { name: 'shared', dns: [internet.dns] } };
  [neighbour, open, closed] = await Promise.all([
    provider.createSession(shared),
    provider.createSession(shared),
    provider.createSession({ networkMode: 'allowlist', network: { allow: ALLOWED, dns: [internet.dns] } }),
  ]);
  await neighbour.spawn('nc', ['-l', '-p', '7007', '-e', 'cat']);
  const { stdout } = await neighbour.exec('sh', ['-c', 'ip -4 -o addr show eth0 | tr -s " /" "  " | cut -d " " -f 4']);
  const { port: hostPort } = host.address() as AddressInfo;
  attacks = listAttacks({ internet, hostPort, neighbour: stdout.trim() });
});
afterAll(async () => {
  await Promise.all([neighbour, open, closed].map((session) => session.destroy()));
  await provider.networks.remove('shared');
  host.close();
});

const probe = async (session: Session, attempts: Record<string, Attempt>) => {
  const came = await prober.probe(session, Object.values(attempts));
  return Object.fromEntries(Object.keys(attempts).map((name, index) => [name, came[index]]));
};
const probeAll = (session: Session) =>
  probe(session, Object.fromEntries(attacks.map(({ name, attempt }) => [name, attempt])));
const ping = async (session: Session) => (await session.exec('ping', ['-c', '1', '-W', '2', other])).exitCode;
/** What the log says of what was refused to the closed session. */
const listDenied = () =>
  events.flatMap(({ sessionId, denied }) => (sessionId === closed.sessionId ? (denied ?? []) : []));

const expectDenied = (denied: object, message = '') =>
  expect.poll(listDenied, { message, timeout: SOON_MS }).toContainEqual(expect.objectContaining(denied));

test('where nothing is closed every attempt succeeds', async () => {
  expect(await probeAll(open)).toEqual(Object.fromEntries(attacks.map(({ name, gets }) => [name, gets])));
  expect(await ping(open)).toBe(0);
  await prober.sendFrame(open, rogue, 'raw');
  await expect.poll(() => internet.takeHeard(), { timeout: SOON_MS }).toContain(`udp ${rogue} raw`);
});

test('past an allowlist every attempt fails, and is told of', async () => {
  await internet.takeHeard();
  events.length = 0;
  for (const [name, outcome] of Object.entries(await probeAll(closed)))
    expect([name, outcome?.[0]]).toEqual([name, '-']);
  for (const { name, denied } of attacks) {
    await expectDenied(denied, name);
  }
  // Nothing of it came anywhere, but questions for what may be asked.
  const mayBeHeard = ALLOWED.map((rule) => `dns ${internet.dns} udp ${rule.replace(/:.*/, '')}`);
  expect((await internet.takeHeard()).filter((heard) => !mayBeHeard.includes(heard))).toEqual([]);
});

test('no packet of another kind gets past it: ICMP, a raw frame', async () => {
  await internet.takeHeard();
  events.length = 0;
  expect(await ping(closed)).toBe(1);
  await prober.sendFrame(closed, rogue, 'raw');
  await expectDenied({ protocol: 'icmp', address: other });
  await expectDenied({ protocol: 'udp', address: rogue, port: 9999 });
  expect(await internet.takeHeard()).toEqual([]);
});

test('IPv6 leads nowhere', async ({ skip }) => {
  if (six === undefined) return skip('this host has no IPv6');
  // A session with `full` has none: the host is who reaches it.
  expect((await fetch(`http://[${six}]/`)).headers.get('x-server')).toBe(six);
  await internet.takeHeard();
  events.length = 0;
  expect(await probe(closed, { six: { kind: 'http', host: six, limitMs: relax(3_000) } })).toEqual({ six: FAILED });
  await expectDenied({ address: six });
  expect(await internet.takeHeard()).toEqual([]);
});

test('what is allowed is reached meanwhile, and a lie about its name or address leads nowhere else', async () => {
  const sni = 'web.allowed.test';
  const named: Record<string, Attempt> = {
    http: { kind: 'http', host: sni },
    tls: { kind: 'tls', host: sni, sni },
    'an echo on its own port': { kind: 'tcp', host: 'echo.allowed.test', port: 7007 },
    'its name at another address': { kind: 'http', host: other, name: sni },
    'its SNI at another address': { kind: 'tls', host: other, sni },
    'its SNI and another Host': { kind: 'tls', host: sni, sni, name: 'other.denied.test' },
  };
  const [came] = await Promise.all([probe(closed, named), probeAll(closed)]);
  const reached = Object.fromEntries(Object.keys(named).map((name) => [name, `+ ${web}`]));
  expect(came).toEqual({ ...reached, 'an echo on its own port': '+ ping' });
  expect(await internet.takeHeard()).not.toContainEqual(expect.stringContaining(other));
});

test('a hundred megabytes arrive as they were sent', async () => {
  const size = 100 * 2 ** 20;
  const download = { host: 'web.allowed.test', path: `/bytes/${size}`, limitMs: relax(50_000) };
  const attempts: Record<string, Attempt> = {
    http: { kind: 'http', ...download },
    tls: { kind: 'tls', ...download, sni: download.host },
  };
  const hash = `+ ${hashBytes(size)}`;
  expect(await probe(closed, attempts)).toEqual({ http: hash, tls: hash });
});

test('a name that comes to lead inside leads nowhere', async () => {
  const records = listRecords(internet);
  const name = 'rebinding.allowed.test';
  const attempt: Record<string, Attempt> = { http: { kind: 'http', host: name } };
  await internet.setRecords({ ...records, [name]: { addresses: [web], ttl: 0 } });
  expect(await probe(closed, attempt)).toEqual({ http: `+ ${web}` });
  await internet.setRecords(records);
  expect(await probe(open, attempt)).toEqual({ http: `+ ${internet.internal}` });
  await internet.takeHeard();
  events.length = 0;
  expect(await probe(closed, attempt)).toEqual({ http: FAILED });
  await expectDenied({ name, address: internet.internal });
  expect((await internet.takeHeard()).filter((heard) => heard.includes(internet.internal))).toEqual([]);
});

test('rules that are taken away or added hold for a session that runs', async () => {
  const attempts: Record<string, Attempt> = {
    web: { kind: 'http', host: 'web.allowed.test' },
    other: { kind: 'http', host: 'other.denied.test' },
  };
  await closed.update({ network: { allow: ['other.denied.test'] } });
  expect(await probe(closed, attempts)).toEqual({ web: FAILED, other: `+ ${other}` });
  await closed.update({ network: { allow: ALLOWED } });
  expect(await probe(closed, attempts)).toEqual({ web: `+ ${web}`, other: FAILED });
});
