import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ContainerdProvider } from '../../../src/index.js';
import type { Channel } from '../../../src/rpc/channel.js';
import { nameStateDirectory } from '../../../src/session/context.js';
import type { OciSpec } from '../../../src/spec/types.js';
import { context } from '../../support/context.js';
import { type Daemon, nameNamespace, startDaemon } from '../../support/daemon.js';
import { makeKataHost, RECORDING_SHIM } from '../../support/kata-host.js';
import { observe, settle } from '../../support/leaks.js';
import { offline } from '../../support/provider.js';

// What containerd hands to Kata's shim, as a shim of that name keeps it. Nothing here shows what Kata makes of it.

const directory = mkdtempSync(join(tmpdir(), 'recording-'));
const namespace = nameNamespace();
const stateRoot = join(directory, 'sessions');
const hostRoot = makeKataHost(join(directory, 'host'));
let daemon: Daemon;

beforeAll(async () => {
  const { generation } = context;
  const env = { CADRE_RECORD: join(directory, 'record') };
  daemon = await startDaemon({ generation, path: [RECORDING_SHIM], env });
});
afterAll(async () => {
  await daemon.stop();
  rmSync(directory, { recursive: true });
});

async function openOwn(options: Partial<ConstructorParameters<typeof ContainerdProvider>[0]> = {}) {
  const { images } = context;
  const given = {
    image: images.reference,
    address: daemon.address,
    namespace,
    stateRoot,
    runtime: 'kata',
    policy: offline,
  };
  const provider = new ContainerdProvider(
    { ...given, volumeRoot: join(directory, 'volumes'), ...options },
    { hostRoot },
  );
  await provider.importImage(images.dockerArchive);
  return provider;
}

const read = (id: string, name: string) => readFileSync(join(directory, 'record', id, name));
const readConfig = (id: string) => JSON.parse(read(id, 'config.json').toString()) as OciSpec;

describe('kata', () => {
  test('is given the namespace whose link ends at the gate of an allowlist', async () => {
    await using provider = await openOwn();
    await using session = await provider.createSession({ networkMode: 'allowlist' });
    const { sessionId: id } = session;
    const [network] = readConfig(id).linux.namespaces.filter(({ type }) => type === 'network');
    expect(network?.path).toMatch(new RegExp(`^${stateRoot}/.*/${id}/netns$`));
    const { checks } = await session.verify();
    const seen = checks.filter((check) => check.ok).map(({ field }) => field);
    expect(seen).toEqual(['linux.namespaces.network', 'network.link', 'network.redirect', 'network.enforcer']);
    // Where nobody sees inside, its ports would be reached by their address, which is the gate's alone to know.
    await expect(session.forward({ targetPort: 80 })).rejects.toMatchObject({
      code: 'failed-precondition',
      message: `session ${id} has no address on this host: its networkMode is allowlist`,
    });
  });

  test('is started by its name, told of no options, and given a document of its own', async () => {
    const scope = { address: daemon.address, root: daemon.root, namespace, stateRoot };
    await using provider = await openOwn();
    const before = await observe(scope);
    const session = await provider.createSession({ resources: { memoryMb: 512, cpus: 1.5, cpuShares: 512 } });
    const { sessionId: id } = session;
    expect(session.runtime).toBe('io.containerd.kata.v2');
    const [, , ...rest] = read(id, 'arguments').toString().trimEnd().split('\n');
    expect(read(id, 'arguments').toString()).toContain(`-namespace\n${namespace}\n-address\n${daemon.address}\n`);
    expect(rest.slice(-3)).toEqual(['-id', id, 'start']);
    expect(read(id, 'options')).toEqual(Buffer.alloc(0));
    const { annotations, linux, process } = readConfig(id);
    expect(annotations).toEqual({ 'io.katacontainers.config.runtime.disable_guest_seccomp': 'false' });
    expect(linux.resources).toEqual({
      memory: { limit: 512 * 1024 * 1024 },
      cpu: { quota: 150_000, period: 100_000, shares: 512 },
    });
    expect(linux.seccomp?.defaultAction).toBe('SCMP_ACT_ERRNO');
    expect(process.capabilities.bounding).toContain('CAP_CHOWN');
    const network = linux.namespaces.filter(({ type }) => type === 'network');
    expect(network).toEqual([{ type: 'network', path: expect.stringMatching(`^${stateRoot}/.*/${id}/netns$`) }]);
    expect(await session.exec('sh', ['-c', 'ls /sys/class/net; echo x; exit 7'])).toMatchObject({
      exitCode: 7,
      stdout: 'lo\nx\n',
    });
    const { ok, checks } = await session.verify();
    expect(ok).toBe(false);
    expect(checks.filter((check) => check.ok).map(({ field }) => field)).toEqual([
      'linux.namespaces.network',
      'linux.namespaces.network.interfaces',
    ]);
    expect(checks.every((check) => check.ok || check.unverifiable)).toBe(true);
    await session.destroy();
    expect(await settle({ ...scope, ids: [id] }, before)).toEqual(before);
  });

  test('without a limit resources are there and empty, without a filter no annotation is', async () => {
    await using provider = await openOwn();
    await using session = await provider.createSession({ seccomp: 'unconfined' });
    const config = readConfig(session.sessionId);
    expect(config.linux.resources).toEqual({});
    expect(config).not.toHaveProperty('annotations');
    expect(config.linux).not.toHaveProperty('seccomp');
  });

  test('sized by annotations, limits are those of the machine', async () => {
    await using provider = await openOwn({ runtimeOptions: { sizing: 'annotations' } });
    await using session = await provider.createSession({ resources: { memoryMb: 512, cpus: 1 } });
    const { annotations, linux } = readConfig(session.sessionId);
    expect(linux.resources).toEqual({});
    expect(annotations).toMatchObject({
      'io.katacontainers.config.hypervisor.default_memory': '512',
      'io.katacontainers.config.hypervisor.default_vcpus': '1',
      'io.katacontainers.config.hypervisor.default_max_vcpus': '1',
    });
    const refused = provider.createSession({ resources: { memoryMb: 128, cpus: 0.5 } });
    await expect(refused).rejects.toMatchObject({ mismatchedAttributes: ['resources.memoryMb', 'resources.cpus'] });
  });

  test('what its shims drop is refused by name, and nothing was made', async () => {
    await using provider = await openOwn();
    const before = await observe({ address: daemon.address, root: daemon.root, namespace, stateRoot });
    const resources = { pidsLimit: 64, ioWeight: 100 };
    await expect(provider.createSession({ resources })).rejects.toMatchObject({
      code: 'capability-mismatch',
      mismatchedAttributes: ['resources.pidsLimit', 'resources.ioWeight'],
    });
    expect(await observe({ address: daemon.address, root: daemon.root, namespace, stateRoot })).toEqual(before);
  });
});

describe('sources of mounts', () => {
  const scope = () => ({ address: daemon.address, root: daemon.root, namespace, stateRoot });
  const source = join(directory, 'source');
  const file = join(source, 'file');
  mkdirSync(join(source, 'below'), { recursive: true });
  writeFileSync(file, 'kept');
  const mounts = [
    { path: source, target: '/all', readOnly: true },
    { path: file, target: '/one', readOnly: false },
    { path: source, target: '/again', readOnly: true },
  ];
  const readSources = (id: string) =>
    readConfig(id)
      .mounts.filter(({ destination }) => mounts.some(({ target }) => target === destination))
      .map((mount) => mount.source);
  /** As a process leaves it that is killed while the shim makes the session. */
  const leave = (id: string) => {
    const place = join(
      nameStateDirectory(stateRoot, { address: daemon.address, namespace } as Channel),
      `held.${id}`,
      '0',
    );
    mkdirSync(place, { recursive: true });
    // Shared, as it is for a moment: what goes with it would go from its source too.
    execFileSync('mount', ['--rbind', source, place]);
    return place;
  };

  test('are places of root alone while it is made, and are there no more when it is', async () => {
    const before = await observe(scope());
    await using provider = await openOwn();
    const session = await provider.createSession({ mounts, resources: { memoryMb: 100 } });
    const { sessionId: id } = session;
    const places = readSources(id);
    expect(places.map((place) => place.replace(/^.*\/held\./, ''))).toEqual([`${id}/0`, `${id}/1`, `${id}/0`]);
    expect(places.filter((place) => existsSync(place))).toEqual([]);
    const look = async () => (await session.exec('sh', ['-c', 'cat /all/file /one /again/file'])).stdout;
    expect(await look()).toBe('keptkeptkept');
    await session.update({ resources: { memoryMb: 120 } });
    await session.stop({ timeoutMs: 100 });
    await session.start();
    expect([readSources(id), await look()]).toEqual([places, 'keptkeptkept']);
    await session.stop({ timeoutMs: 100 });
    await session.start({ runtime: 'runc' });
    expect(await look()).toBe('keptkeptkept');
    expect((await session.verify()).checks.filter(({ ok }) => !ok)).toEqual([]);
    await session.stop({ timeoutMs: 100 });
    await session.start({ runtime: 'kata' });
    expect([readSources(id), await look()]).toEqual([places, 'keptkeptkept']);
    await session.destroy();
    expect(await settle({ ...scope(), ids: [id] }, before)).toEqual(before);
  });

  test('are never emptied, nor what is mounted in them: not by a destroy, a start or the reaper', async () => {
    const below = join(source, 'below');
    execFileSync('mount', ['-t', 'tmpfs', 'below', below]);
    try {
      writeFileSync(join(below, 'deep'), 'deep');
      await using provider = await openOwn();
      const before = await observe(scope());
      const session = await provider.createSession({ mounts });
      await session.stop({ timeoutMs: 100 });
      leave(session.sessionId);
      await session.start();
      expect((await session.exec('cat', ['/all/file', '/all/below/deep'])).stdout).toBe('keptdeep');
      const left = [leave(session.sessionId), leave('cadre-0123456789abcdef')];
      await session.destroy();
      expect((await provider.reap()).remains).toContain('cadre-0123456789abcdef');
      expect(left.filter((place) => existsSync(place))).toEqual([]);
      expect([readFileSync(file, 'utf8'), readFileSync(join(below, 'deep'), 'utf8')]).toEqual(['kept', 'deep']);
      expect(await settle({ ...scope(), ids: [session.sessionId] }, before)).toEqual(before);
    } finally {
      execFileSync('umount', [below]);
    }
  });
});

test('a pool has sessions ready on kata; what cannot be brought into a guest is refused when it is taken', async () => {
  const scope = { address: daemon.address, root: daemon.root, namespace, stateRoot };
  const before = await observe(scope);
  await using provider = await openOwn();
  const pool = provider.pool({ min: 1, max: 2 });
  await pool.ready();
  await expect(pool.take({ secrets: [{ name: 'key', value: 'v' }] })).rejects.toMatchObject({
    code: 'capability-mismatch',
    mismatchedAttributes: ['secrets'],
  });
  const secrets = [{ name: 'KEY', value: 'planted', as: 'env' as const }];
  const session = await pool.take({ env: { A: 'b' }, secrets });
  expect([session.runtime, pool.stats().hits]).toEqual(['io.containerd.kata.v2', 1]);
  expect((await session.exec('sh', ['-c', 'echo $A $KEY'])).stdout).toBe('b planted\n');
  await session.destroy();
  await pool.close();
  expect(await settle({ ...scope, ids: [session.sessionId] }, before)).toEqual(before);
});

describe('escalation', () => {
  test('a stopped session starts again on another runtime, with its files, and back', async () => {
    await using provider = await openOwn({ runtime: 'runc' });
    await using session = await provider.createSession({ name: 'moved', resources: { memoryMb: 256 } });
    await session.exec('sh', ['-c', 'echo kept >/root/file']);
    await session.update({ resources: { memoryMb: 300 } });
    await session.stop({ timeoutMs: 100 });
    await session.start({ runtime: 'kata' });
    expect(session.runtime).toBe('io.containerd.kata.v2');
    expect((await session.exec('cat', ['/root/file'])).stdout).toBe('kept\n');
    expect(await (await provider.connect('moved')).info()).toMatchObject({ runtime: 'io.containerd.kata.v2' });
    const moved = readConfig(session.sessionId);
    expect(moved.linux.resources).toEqual({ memory: { limit: 300 * 1024 * 1024 } });
    expect(moved.linux.namespaces).toContainEqual({ type: 'network', path: expect.stringContaining('/netns') });
    await session.stop({ timeoutMs: 100 });
    await session.start({ runtime: 'runc' });
    expect((await session.exec('cat', ['/root/file'])).stdout).toBe('kept\n');
    expect((await session.verify()).checks.filter(({ ok }) => !ok)).toEqual([]);
  });

  test('what the other runtime cannot honour is refused by name, and nothing has changed', async () => {
    await using provider = await openOwn({ runtime: 'runc' });
    await using session = await provider.createSession();
    await session.update({ resources: { pidsLimit: 64 } });
    await expect(session.start({ runtime: 'kata' })).rejects.toMatchObject({ code: 'failed-precondition' });
    await session.stop({ timeoutMs: 100 });
    await expect(session.start({ runtime: 'kata' })).rejects.toMatchObject({
      code: 'capability-mismatch',
      mismatchedAttributes: ['resources.pidsLimit'],
    });
    await expect(session.start({ runtime: 'io.containerd.absent.v1' })).rejects.toMatchObject({
      code: 'failed-precondition',
      message: expect.stringContaining('containerd-shim-absent-v1'),
    });
    expect((await session.info()).runtime).toBe('io.containerd.runc.v2');
    await session.start();
    expect((await session.exec('true')).exitCode).toBe(0);
  });
});
