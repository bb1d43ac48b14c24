import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { ContainerdProvider } from '../../src/index.js';
import { context } from '../support/context.js';
import { type Daemon, nameNamespace, startDaemon } from '../support/daemon.js';
import { openInternet } from '../support/internet/internet.js';
import { makeKataHost, RECORDING_SHIM } from '../support/kata-host.js';
import { observe, settle } from '../support/leaks.js';
import { openProvider } from '../support/provider.js';

const directory = mkdtempSync(join(tmpdir(), 'cadre-cni-'));
afterAll(() => rmSync(directory, { recursive: true }));
const internet = await openInternet();
afterAll(() => internet.stop());
const policy = { networkMode: 'full' as const, network: { dns: [internet.dns] } };
const get = `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 3 ${internet.web} 80 | tail -n 1; echo`;

describe("a network of the host's own", () => {
  const bridge = `cni${process.pid}`;
  const subnet = `10.196.${process.pid % 256}`;
  const plugin = {
    ...{ type: 'bridge', bridge, isGateway: true, ipMasq: true },
    ipam: {
      type: 'host-local',
      dataDir: join(directory, 'addresses'),
      ranges: [[{ subnet: `${subnet}.0/24` }]],
      routes: [{ dst: '0.0.0.0/0' }],
    },
  };
  const write = (name: string, plugins: object[]) =>
    writeFileSync(join(directory, `${name}.conflist`), JSON.stringify({ cniVersion: '1.0.0', name, plugins }));
  const before = process.env.NETCONFPATH;
  process.env.NETCONFPATH = directory;
  afterAll(() => {
    if (before === undefined) delete process.env.NETCONFPATH;
    else process.env.NETCONFPATH = before;
    execFileSync('ip', ['link', 'delete', bridge]);
  });

  test('is taken by its name, with its plugins, and is not ours to remove', async () => {
    const provider = await openProvider({ policy });
    const scope = { ...context };
    const empty = await observe(scope);
    write('company', [plugin, { type: 'portmap', capabilities: { portMappings: true } }]);
    const session = await provider.createSession({ network: { name: 'company', ports: [80] } });
    const { stdout } = await session.exec('sh', ['-c', `${get}; ip -4 -o addr show eth0`]);
    expect(stdout).toMatch(new RegExp(`^${internet.gateway}\\n.* inet ${subnet}\\.\\d+/24`));
    expect(await session.ports()).toEqual([expect.objectContaining({ hostIp: '127.0.0.1', port: 80 })]);
    expect(await provider.networks.inspect('company')).toEqual({
      ...{ name: 'company', origin: 'host', plugins: ['bridge', 'portmap'] },
      sessions: [session.sessionId],
    });
    await session.destroy();
    await expect(provider.networks.remove('company')).rejects.toMatchObject({ code: 'failed-precondition' });
    expect(await settle(scope, empty)).toEqual(empty);
    expect(execFileSync('iptables-save', { encoding: 'utf8' })).not.toContain(session.sessionId);
  });

  test('that needs a plugin which is not there is refused by name, also by a plan', async () => {
    const provider = await openProvider({ policy });
    write('broken', [plugin, { type: 'no-such-plugin' }]);
    const network = { name: 'broken' };
    await expect(provider.createSession({ network })).rejects.toMatchObject({
      mismatchedAttributes: ['network.name'],
      message: expect.stringContaining('no-such-plugin'),
    });
    expect(await provider.plan({ network })).toMatchObject({ spec: undefined, mismatched: ['network.name'] });
    await expect(provider.plan({ network: { name: 'nowhere' } })).rejects.toMatchObject({ code: 'not-found' });
  });
});

test('a host without plugins refuses full by name, and makes nothing else of it', () => {
  // Seen by this process alone: the places where plugins are looked for are empty, as CNI_PATH is.
  const program = join(directory, 'refused.ts');
  const source = new URL('../../src/index.ts', import.meta.url).pathname;
  writeFileSync(
    program,
    `import { ContainerdProvider } from '${source}';
    const provider = new ContainerdProvider(${JSON.stringify({ image: 'absent:1', address: context.address, namespace: context.namespace })});
    const tell = (error) => ({ code: error.code, paths: error.mismatchedAttributes, message: error.message });
    console.log(JSON.stringify(await provider.createSession({ networkMode: 'full' }).catch(tell)));
    await provider.close();`,
  );
  mkdirSync(join(directory, 'empty'), { recursive: true });
  const hide = ['/opt/cni/bin', '/usr/lib/cni', '/usr/libexec/cni']
    .map((path) => `! [ -d ${path} ] || mount --bind ${directory}/empty ${path}`)
    .join('; ');
  const script = `${hide}; exec ${process.execPath} scripts/run-ts.mjs ${program}`;
  const printed = execFileSync('unshare', ['--mount', 'sh', '-ec', script], {
    env: { ...process.env, CNI_PATH: join(directory, 'empty') },
    encoding: 'utf8',
  });
  const [line = ''] = printed.trim().split('\n').slice(-1);
  expect(JSON.parse(line)).toEqual({
    code: 'capability-mismatch',
    paths: ['networkMode'],
    message: expect.stringContaining('containernetworking-plugins'),
  });
});

describe('behind the shim of Kata', () => {
  let daemon: Daemon;
  const record = join(directory, 'record');
  afterAll(() => daemon?.stop());

  test('a session is given its namespace by path, with the network in it before it starts', async () => {
    daemon = await startDaemon({
      generation: context.generation,
      path: [RECORDING_SHIM],
      env: { CADRE_RECORD: record },
    });
    const { address } = daemon;
    const scope = { address, root: daemon.root, namespace: nameNamespace(), stateRoot: join(directory, 'sessions') };
    const { namespace, stateRoot } = scope;
    await using provider = new ContainerdProvider(
      { image: context.images.reference, address, namespace, stateRoot, runtime: 'kata', policy },
      { hostRoot: makeKataHost(join(directory, 'host')) },
    );
    await provider.importImage(context.images.dockerArchive);
    const before = await observe(scope);
    const session = await provider.createSession({ network: { dns: [internet.dns], ports: [80] } });
    const { sessionId: id } = session;
    const { linux } = JSON.parse(execFileSync('cat', [join(record, id, 'config.json')], { encoding: 'utf8' })) as {
      linux: { namespaces: { type: string; path?: string }[] };
    };
    expect(linux.namespaces.filter(({ type }) => type === 'network')).toEqual([
      { type: 'network', path: expect.stringMatching(`^${stateRoot}/.*/${id}/netns$`) },
    ]);
    const { stdout } = await session.exec('sh', ['-c', `ls /sys/class/net; ${get}`]);
    expect(stdout).toBe(`eth0\nlo\n${internet.gateway}\n`);
    expect(await session.ports()).toHaveLength(1);
    await session.destroy();
    await internet.setRecords({ 'web.allowed.test': { addresses: [internet.web], ttl: 60 } });
    await using closed = await provider.createSession({
      networkMode: 'allowlist',
      network: { dns: [internet.dns], allow: ['web.allowed.test'] },
    });
    // A client that ends its side before the answer is taken for one that has gone.
    const ask = async (name: string) => {
      const script = `(printf 'GET / HTTP/1.0\\r\\nHost: ${name}\\r\\n\\r\\n'; sleep 4) | nc -w 10 ${internet.web} 80 | head -n 1`;
      return (await closed.exec('sh', ['-c', `ls /sys/class/net; ${script}`])).stdout.trim();
    };
    expect(await ask('web.allowed.test')).toBe('eth0\nlo\nHTTP/1.1 200 OK');
    expect(await ask('other.denied.test')).toBe('eth0\nlo\nHTTP/1.1 403 Forbidden');
    await closed.destroy();
    expect(await settle({ ...scope, ids: [id] }, before)).toEqual(before);
  });
});
