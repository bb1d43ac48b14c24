import { execFileSync } from 'node:child_process';
import { createServer, type Server } from 'node:http';
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { Session } from '../../src/index.js';
import { listFaults } from '../support/attested.js';
import { context } from '../support/context.js';
import { type Internet, openInternet } from '../support/internet/internet.js';
import { observe, settle } from '../support/leaks.js';
import { relax } from '../support/patience.js';
import { openProvider } from '../support/provider.js';

const { isKata } = context;
const NAME = 'web.allowed.test';
const internet: Internet = await openInternet();
afterAll(() => internet.stop());
await internet.setRecords({ [NAME]: { addresses: [internet.web], ttl: 60 } });
const provider = await openProvider({ policy: { networkMode: 'full', network: { dns: [internet.dns] } } });
const hasUserns = provider.capabilities().unsupported.userns === undefined && context.generation.startsWith('2.');

const sh = async (session: Session, script: string) => {
  const { exitCode, stdout, stderr } = await session.exec('sh', ['-c', script]);
  return { exitCode, out: stdout.trim(), err: stderr.trim() };
};
/** busybox is static and without the libraries that its wget looks names of services up with. */
const get = (session: Session, address: string, port = 80) =>
  sh(session, `printf 'GET /index.html HTTP/1.0\\r\\n\\r\\n' | nc -w 3 ${address} ${port} | tail -n 1`);
const look = async (session: Session, name: string) => (await sh(session, `nslookup -type=a ${name} 2>&1`)).out;
const readAddress = async (session: Session, device = 'eth0') =>
  (await sh(session, `ip -4 -o addr show ${device} | tr -s ' ' | cut -d ' ' -f 4 | cut -d / -f 1`)).out;
/** A web server inside that says its name. */
const serve = (session: Session, port: number, text: string) =>
  sh(session, `mkdir -p /tmp/${port}; echo ${text} > /tmp/${port}/index.html; httpd -p ${port} -h /tmp/${port}`);
const fetchText = async (url: string) =>
  (await (await fetch(url, { signal: AbortSignal.timeout(relax(3_000)) })).text()).trim();

/** All of this file's that the kernel has, whoever made it. */
function observeKernel() {
  const links = (JSON.parse(execFileSync('ip', ['-json', 'link'], { encoding: 'utf8' })) as { ifname: string }[])
    .map(({ ifname }) => ifname)
    .filter((name) => /^(veth|cadre-|bwp)/.test(name));
  const rules = execFileSync('iptables-save', { encoding: 'utf8' })
    .split('\n')
    .filter((line) => /10\.213\.|cadre/.test(line));
  return { links: links.sort(), rules };
}

describe('full', () => {
  let session: Session;
  beforeAll(async () => {
    session = await provider.createSession({ name: 'wide' });
  });
  afterAll(() => session.destroy());

  test('goes out under an address of the host, and has names of its own', async () => {
    expect(await get(session, internet.web)).toMatchObject({ exitCode: 0, out: internet.gateway });
    expect(await look(session, NAME)).toContain(`Address: ${internet.web}`);
    expect(await look(session, 'no.example.test')).toMatch(/NXDOMAIN/);
    const address = await readAddress(session);
    expect((await sh(session, 'cat /etc/hostname; hostname; cat /etc/resolv.conf; grep wide /etc/hosts')).out).toBe(
      `wide\nwide\nnameserver ${internet.dns}\n${address}\twide`,
    );
    expect((await sh(session, 'echo x >> /etc/hosts')).err).toMatch(/Read-only/);
    expect(listFaults(await session.verify())).toEqual([]);
    const { networkRxBytes } = await session.stats();
    if (isKata) expect(networkRxBytes).toBe(0);
    else expect(networkRxBytes).toBeGreaterThan(0);
  });

  test('a session without a network reaches nothing of it', async () => {
    await using closed = await provider.createSession({ networkMode: 'none' });
    expect(await get(closed, internet.web)).toMatchObject({ out: '', err: expect.stringContaining('unreachable') });
    expect((await sh(closed, 'ls /sys/class/net')).out).toBe('lo');
  });

  test('nobody outside, no other session and no service on loopback of the host can be met', async () => {
    await serve(session, 80, 'inside');
    const address = await readAddress(session);
    expect(await fetchText(`http://${address}/`)).toBe('inside');
    await using neighbour = await provider.createSession();
    expect((await get(neighbour, address)).out).toBe('');

    const loopback = createServer((_, response) => response.end('secret of the host'));
    await listen(loopback, '127.0.0.1');
    const { port } = loopback.address() as { port: number };
    await using published = await provider.createSession({
      network: { ports: [80] },
      capabilities: { add: ['NET_ADMIN'] },
    });
    const gateway = address.replace(/\d+$/, '1');
    // With NET_ADMIN it leaves by the bridge what the kernel would keep in.
    await sh(published, `ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.1 via ${gateway}`);
    expect((await get(published, '127.0.0.1', port)).out).toBe('');
    expect((await get(published, gateway, port)).out).toBe('');
    await new Promise((resolve) => loopback.close(resolve));
  });

  test('what is left of a stop is plugged in again by a start', async () => {
    await session.stop({ timeoutMs: 100 });
    await session.start();
    expect(await get(session, internet.web)).toMatchObject({ out: internet.gateway });
  });
});

describe('ports', () => {
  test('are on loopback unless asked, are listed, and are refused when taken', async () => {
    await using session = await provider.createSession({
      network: { ports: ['18080:80', '0.0.0.0:18081-18082:81-82', '18053:53/udp', 83] },
    });
    for (const port of [80, 81, 82, 83]) await serve(session, port, `port ${port}`);
    const ports = await session.ports();
    expect(ports.slice(0, 4)).toEqual([
      { hostIp: '127.0.0.1', hostPort: 18080, port: 80, protocol: 'tcp' },
      { hostIp: '0.0.0.0', hostPort: 18081, port: 81, protocol: 'tcp' },
      { hostIp: '0.0.0.0', hostPort: 18082, port: 82, protocol: 'tcp' },
      { hostIp: '127.0.0.1', hostPort: 18053, port: 53, protocol: 'udp' },
    ]);
    const free = ports[4]?.hostPort ?? 0;
    expect(await fetchText('http://127.0.0.1:18080/')).toBe('port 80');
    expect(await fetchText('http://127.0.0.1:18082/')).toBe('port 82');
    expect(await fetchText(`http://127.0.0.1:${free}/`)).toBe('port 83');
    expect(fetchOutside(18081)).toBe('port 81');
    expect(fetchOutside(18080)).toMatch(/ECONNREFUSED|timeout/);
    expect(fetchOutside(free)).toMatch(/ECONNREFUSED|timeout/);
    await expect(provider.createSession({ network: { ports: ['18080:80'] } })).rejects.toMatchObject({
      code: 'failed-precondition',
      message: 'port 18080/tcp of 127.0.0.1 is in use on this host',
    });
  });

  /** From an address beyond the host's own. */
  function fetchOutside(port: number): string {
    const script = `fetch('http://${internet.gateway}:${port}/', { signal: AbortSignal.timeout(2000) }).then((r) => r.text())
      .then((t) => console.log(t.trim()), (e) => console.log(e.cause?.code ?? e.name))`;
    return internet.run(process.execPath, '--eval', script).trim().replace('TimeoutError', 'timeout');
  }

  test.each(['none', 'full'] as const)(
    'forward reaches what listens on loopback inside, with network %s',
    async (networkMode) => {
      const policy = networkMode === 'none' ? { networkMode } : { networkMode, network: { dns: [internet.dns] } };
      const session = await provider.createSession(policy);
      // The namespace that the host has is not the guest's, and only a plugged session has an address in it.
      if (isKata && networkMode === 'none') {
        await expect(session.forward({ targetPort: 90 })).rejects.toMatchObject({
          code: 'failed-precondition',
          operation: 'forward',
          message: `session ${session.sessionId} has no address on this host: its networkMode is ${networkMode}`,
        });
        return session.destroy();
      }
      await serve(session, 90, 'forwarded');
      const forward = await session.forward({ targetPort: 90 });
      const url = `http://127.0.0.1:${forward.localPort}/`;
      const answers = await Promise.all(Array.from({ length: 20 }, () => fetchText(url)));
      expect(new Set(answers)).toEqual(new Set(['forwarded']));
      await expect(session.forward({ targetPort: 91, localPort: forward.localPort })).rejects.toMatchObject({
        code: 'already-exists',
      });
      await using empty = await session.forward({ targetPort: 91 });
      await expect(fetchText(`http://127.0.0.1:${empty.localPort}/`)).rejects.toThrow();
      await session.destroy();
      await expect(fetchText(url)).rejects.toThrow();
    },
  );

  test('a megabyte goes both ways, and either side may end first', async () => {
    await using session = await provider.createSession(isKata ? {} : { networkMode: 'none' });
    await session.spawn('nc', ['-l', '-p', '92', '-e', 'cat']);
    await expect.poll(async () => (await sh(session, 'netstat -lnt')).out).toContain(':92');
    await using forward = await session.forward({ targetPort: 92 });
    const socket = connect({ port: forward.localPort, host: '127.0.0.1', allowHalfOpen: true });
    const sent = Buffer.alloc(1_000_000, 'x');
    socket.end(sent);
    let received = 0;
    for await (const chunk of socket) received += (chunk as Buffer).length;
    expect(received).toBe(sent.length);
  });
});

test('bandwidth is limited each way', async () => {
  await using session = await provider.createSession({
    network: { ports: [80], bandwidthKbps: { in: 8_000, out: 2_000 } },
  });
  await sh(session, 'mkdir /tmp/w; dd if=/dev/zero of=/tmp/w/big bs=1k count=1500; httpd -p 80 -h /tmp/w');
  const [{ hostPort } = { hostPort: 0 }] = await session.ports();
  const started = performance.now();
  const { length } = Buffer.from(await (await fetch(`http://127.0.0.1:${hostPort}/big`)).arrayBuffer());
  const seconds = (performance.now() - started) / 1000;
  expect(length).toBe(1_536_000);
  // Twelve megabits at two a second, less the burst of one.
  expect(seconds).toBeGreaterThan(4);
});

test('in a user namespace', async ({ skip }) => {
  skip(!hasUserns, 'user namespaces are of containerd 2, on kernels that map the ids of layers');
  const session = await provider.createSession({ userns: true, network: { dns: [internet.dns], ports: ['18090:80'] } });
  expect(await get(session, internet.web)).toMatchObject({ exitCode: 0, out: internet.gateway });
  await serve(session, 80, 'mapped');
  expect(await fetchText('http://127.0.0.1:18090/')).toBe('mapped');
  await session.stop({ timeoutMs: 100 });
  await session.start();
  expect(await get(session, internet.web)).toMatchObject({ exitCode: 0, out: internet.gateway });
  await session.destroy();
});

describe('networks', () => {
  test('sessions of one reach one another, and a session is connected and disconnected while it runs', async () => {
    const made = await provider.networks.create('backend', { subnet: '10.209.7.0/24' });
    expect(made).toMatchObject({ name: 'backend', origin: 'own', subnet: '10.209.7.0/24', sessions: [] });
    await expect(provider.networks.create('backend')).rejects.toMatchObject({ code: 'already-exists' });
    await expect(provider.networks.create('other', { subnet: '10.209.0.0/16' })).rejects.toMatchObject({
      code: 'invalid-argument',
    });
    const one = await provider.createSession({ network: { name: 'backend' } });
    const two = await provider.createSession();
    await serve(one, 80, 'backend');
    const url = await readAddress(one);
    expect((await get(two, url)).out).toBe('');
    // As any program of the host may, and the plugin `firewall` does.
    const first = ['FORWARD', '--in-interface', 'cadre-+', '--jump', 'ACCEPT'];
    execFileSync('iptables', ['--wait', '--insert', ...first]);
    onTestFinished(() => void execFileSync('iptables', ['--wait', '--delete', ...first]));
    expect((await get(two, url)).out).toBe('');
    const [address] = await provider.networks.connect('backend', two.sessionId);
    expect(await readAddress(two, 'eth1')).toBe(address);
    expect((await get(two, url)).out).toBe('backend');
    expect((await get(two, internet.web)).out).toBe(internet.gateway);
    expect((await provider.networks.inspect('backend')).sessions.sort()).toEqual([one.sessionId, two.sessionId].sort());
    await expect(provider.networks.remove('backend')).rejects.toMatchObject({ code: 'failed-precondition' });
    await provider.networks.disconnect('backend', two.sessionId);
    expect((await sh(two, 'ls /sys/class/net')).out).toBe('eth0\nlo');
    await Promise.all([one.destroy(), two.destroy()]);
    await provider.networks.remove('backend');
    await expect(provider.networks.inspect('backend')).rejects.toMatchObject({ code: 'not-found' });
  });

  test("the host's own network is refused unless the operator allows it, and then told by plan", async () => {
    const policy = { network: { name: 'host' } };
    await expect(provider.createSession(policy)).rejects.toMatchObject({ mismatchedAttributes: ['network.name'] });
    const allowing = await openProvider({ allowHostNetwork: true, policy: { networkMode: 'full' } });
    const { findings, mismatched } = await allowing.plan(policy);
    if (isKata) {
      expect(mismatched).toEqual(['network.name']);
      await expect(allowing.createSession(policy)).rejects.toThrow('no part in the network of the host');
      return;
    }
    expect(mismatched).toEqual([]);
    expect(findings.map(({ rule }) => rule)).toContain('host-namespace');
    await using session = await allowing.createSession(policy);
    const names = (await sh(session, 'ls /sys/class/net')).out.split('\n');
    expect(names).toEqual(expect.arrayContaining(Object.keys(networkInterfaces())));
  });

  test('one that is not there is refused before anything is made', async () => {
    const before = observeKernel();
    await expect(provider.createSession({ network: { name: 'nowhere' } })).rejects.toMatchObject({ code: 'not-found' });
    // Of what went before the kernel may take something away meanwhile.
    const after = observeKernel();
    expect(after.links.filter((link) => !before.links.includes(link))).toEqual([]);
    expect(after.rules.filter((rule) => !before.rules.includes(rule))).toEqual([]);
  });
});

test('fifty at once have fifty addresses, and give all of them back', { timeout: relax(300_000) }, async ({ skip }) => {
  skip(isKata, "the host's side alone, whatever runs the sessions");
  const scope = { ...context };
  const before = await observe(scope);
  const sessions = await Promise.all(Array.from({ length: 50 }, () => provider.createSession()));
  const addresses = await Promise.all(sessions.map((session) => readAddress(session)));
  expect(new Set(addresses).size).toBe(50);
  const { bridge = '' } = await provider.networks.inspect('default');
  const ours = [bridge, ...sessions.map(({ sessionId }) => sessionId)];
  const listOurs = () => observeKernel().rules.filter((rule) => ours.some((name) => rule.includes(name)));
  expect(listOurs().length).toBeGreaterThan(0);
  await Promise.all(sessions.map((session) => session.destroy()));
  expect(await settle(scope, before)).toEqual(before);
  await provider.reap();
  expect(observeKernel().links).not.toContain(bridge);
  expect(listOurs()).toEqual([]);
});

function listen(server: Server, host: string): Promise<void> {
  return new Promise((resolve) => server.listen(0, host, resolve));
}
