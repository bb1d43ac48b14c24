import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { ContainersService } from '../../../src/generated/github.com/containerd/containerd/api/services/containers/v1/containers.js';
import { LeasesService } from '../../../src/generated/github.com/containerd/containerd/api/services/leases/v1/leases.js';
import { SnapshotsService } from '../../../src/generated/github.com/containerd/containerd/api/services/snapshots/v1/snapshots.js';
import { TasksService } from '../../../src/generated/github.com/containerd/containerd/api/services/tasks/v1/tasks.js';
import { ContainerdProvider } from '../../../src/index.js';
import { readStat } from '../../../src/session/proc.js';
import { findContainerd } from '../../support/containerd-binary.js';
import { context } from '../../support/context.js';
import { collectGarbage, observe, settle } from '../../support/leaks.js';
import { relax } from '../../support/patience.js';
import { detector, openPrivateHost } from './private.js';
import { Worker } from './worker.js';

const { scope, options, provider, channel, reap, reapAll } = await openPrivateHost();
const fakes: ChildProcess[] = [];
afterAll(() => {
  for (const fake of fakes) fake.kill('SIGKILL');
});

/** A process that looks like a shim in all but what is given. */
function fakeShim(given: { address?: string; namespace?: string; id?: string }): number {
  const { address, namespace, id } = { ...scope, id: 'cadre-0123456789abcdef', ...given };
  const args = ['-c', 'sleep 1000; true', '-namespace', namespace, '-id', id, '-address', address];
  const fake = spawn('/bin/sh', args, { argv0: '/usr/bin/containerd-shim-runc-v2', stdio: 'ignore' });
  fakes.push(fake);
  return fake.pid as number;
}

describe('what others have is left alone:', () => {
  test('sessions of a process that lives, in this namespace and in another', async () => {
    await using worker = new Worker(options);
    await using other = new Worker({ ...options, namespace: `${options.namespace}-2` });
    const id = await worker.tell('create', {});
    await using elsewhere = new ContainerdProvider({ ...options, namespace: `${options.namespace}-2` }, detector);
    await elsewhere.importImage(context.images.dockerArchive);
    const otherId = await other.tell('create', {});
    await reapAll();
    expect(await worker.tell('exec', id, 'echo alive')).toEqual({ stdout: 'alive\n', exitCode: 0 });
    expect(await other.tell('exec', otherId, 'echo alive')).toEqual({ stdout: 'alive\n', exitCode: 0 });
    await other.tell('destroy', otherId);
    await worker.kill();
    expect((await reap()).sessions).toEqual([id]);
  });

  test('containers, snapshots and leases of other clients', async () => {
    const before = await observe(scope);
    const ids = ['other', 'cadre-foreign'];
    const leased = async (id: string) => {
      await channel.unary(LeasesService.create, { id: `lease-${id}`, labels: {} });
      return channel.withLease(`lease-${id}`);
    };
    for (const id of ids) {
      const held = await leased(id);
      await held.unary(SnapshotsService.prepare, { snapshotter: 'overlayfs', key: id, parent: '', labels: {} });
      const container = { ...emptyContainer, id, snapshotter: 'overlayfs', snapshotKey: id };
      await channel.unary(ContainersService.create, { container });
    }
    const decoyed = await observe(scope);
    await reapAll();
    expect(await observe(scope)).toEqual(decoyed);
    for (const id of ids) {
      await channel.unary(ContainersService.delete, { id });
      await channel.unary(LeasesService.delete, { id: `lease-${id}`, sync: true });
    }
    await collectGarbage(scope);
    expect(await settle(scope, before)).toEqual(before);
  });

  test('shims of another daemon, of another namespace and of other clients', async () => {
    const pids = [
      fakeShim({ address: '/run/another/containerd.sock' }),
      fakeShim({ namespace: 'another' }),
      fakeShim({ id: 'another' }),
    ];
    const states = () => pids.map((pid) => readStat(pid)?.state);
    // Asleep in its wait: before that it is still on its way to look like a shim.
    await expect.poll(states).toEqual(['S', 'S', 'S']);
    await reap();
    expect(states()).toEqual(['S', 'S', 'S']);
  });
});

describe('what nobody answers for goes:', () => {
  test('a session whose process has ended, its blocked exec included', async () => {
    const before = await observe(scope);
    const worker = new Worker(options);
    const id = await worker.tell('create', {});
    await worker.tell('spawn', id, 'yes');
    await worker.kill();
    const started = Date.now();
    expect((await reap()).sessions).toEqual([id]);
    expect(Date.now() - started).toBeLessThan(relax(5_000));
    expect(await settle({ ...scope, ids: [id] }, before)).toEqual(before);
  });

  test('a session with mounts and secrets; the data of its volume stays and can be removed', async () => {
    const before = await observe(scope);
    const worker = new Worker(options);
    const id = await worker.tell('create', {
      secrets: [{ name: 'key', value: 'planted' }],
      mounts: [
        { type: 'volume', path: 'kept', target: '/v', readOnly: false },
        { path: dirname(context.images.dockerArchive), target: '/images', readOnly: true },
      ],
    });
    await worker.tell('exec', id, 'cp /run/secrets/key /v/copy');
    expect((await observe(scope)).host.mounts.some((point) => point.endsWith(`${id}/secrets`))).toBe(true);
    await worker.kill();
    await expect(provider.volumes.remove('kept')).rejects.toMatchObject({ code: 'failed-precondition' });
    expect(await reap()).toMatchObject({ sessions: [id], failures: [] });
    expect(await settle({ ...scope, ids: [id] }, before)).toEqual(before);
    const { path, sessions } = await provider.volumes.inspect('kept');
    expect(sessions).toEqual([]);
    expect(readFileSync(join(path, 'copy'), 'utf8')).toBe('planted');
    await provider.volumes.remove('kept');
  });

  test('a task whose record was removed under it', async () => {
    const before = await observe(scope);
    const worker = new Worker(options);
    const id = await worker.tell('create', {});
    await worker.kill();
    await channel.unary(ContainersService.delete, { id });
    expect((await channel.unary(TasksService.list, { filter: '' })).tasks.map((task) => task.id)).toEqual([id]);
    await reapAll();
    await collectGarbage(scope);
    expect(await settle({ ...scope, ids: [id] }, before)).toEqual(before);
  });

  test('by several reapers at once', async () => {
    const before = await observe(scope);
    const worker = new Worker(options);
    const ids = await Promise.all([1, 2, 3, 4].map(() => worker.tell('create', {})));
    await worker.kill();
    const reports = await Promise.all([1, 2, 3].map(() => reap()));
    expect(reports.flatMap(({ failures }) => failures)).toEqual([]);
    expect([...new Set(reports.flatMap(({ sessions }) => sessions))].sort()).toEqual(ids.sort());
    // A task that two delete at once may leave its shim, seen on containerd 2.1: the next pass ends it.
    await reap();
    expect(await settle({ ...scope, ids }, before)).toEqual(before);
  });

  test('a shim that was started for a creation which went no further', async () => {
    const before = await observe(scope);
    const id = 'cadre-fedcba9876543210';
    const bundle = join(scope.root, 'state/io.containerd.runtime.v2.task', scope.namespace, id);
    mkdirSync(bundle, { recursive: true });
    writeFileSync(join(bundle, 'config.json'), '{"ociVersion":"1.0.2"}');
    // Its log, which containerd reads.
    execFileSync('mkfifo', [join(bundle, 'log')]);
    await using _log = await open(join(bundle, 'log'), 'r+');
    const { address, namespace } = scope;
    const shim = join(findContainerd(context.generation).directory, 'containerd-shim-runc-v2');
    const flags = ['-namespace', namespace, '-id', id, '-address', address, 'start'];
    const env = { ...process.env, TTRPC_ADDRESS: `${address}.ttrpc` };
    const started = spawnSync(shim, flags, { cwd: bundle, env, input: '', encoding: 'utf8' });
    expect(started).toMatchObject({ status: 0 });
    // As containerd notes where it is to be reached.
    writeFileSync(join(bundle, 'address'), started.stdout);
    expect((await observe(scope)).host.shims).toContain(id);
    expect((await provider.reap()).shims).toEqual([]);
    expect((await reap()).shims).toHaveLength(1);
    expect(await settle({ ...scope, ids: [id] }, before)).toEqual(before);
  });

  test('a young shim that containerd does not know of yet is given time', async () => {
    const pid = fakeShim({});
    await expect.poll(() => readStat(pid)?.state).toBe('S');
    expect((await provider.reap()).shims).toEqual([]);
    expect(readStat(pid)?.state).toBe('S');
    expect((await reap()).shims).toEqual([pid]);
    await expect.poll(() => readStat(pid)?.state ?? 'gone').toMatch(/^(Z|gone)$/);
  });
});

describe('expiry', () => {
  test('ends a session whose owner lives', async () => {
    const session = await provider.createSession({ ttlMs: 3_600_000 });
    expect((await reap()).sessions).toEqual([]);
    expect((await session.exec('true')).exitCode).toBe(0);
    const expiresAt = await session.extend(400);
    await expect.poll(async () => (await reap()).sessions).toEqual([session.sessionId]);
    expect(Date.now()).toBeGreaterThanOrEqual(expiresAt.getTime());
    const destroyed = { code: 'destroyed', message: `session ${session.sessionId} is destroyed` };
    for (const call of [() => session.exec('true'), () => session.info(), () => session.extend(1000)])
      await expect(call()).rejects.toMatchObject(destroyed);
    await session.destroy();
  });

  test('keeps a session whose owner has ended, until then', async () => {
    const worker = new Worker(options);
    const id = await worker.tell('create', { ttlMs: 3_600_000 });
    await worker.kill();
    await reapAll();
    const session = await provider.connect(id);
    expect((await session.exec('echo', ['kept'])).stdout).toBe('kept\n');
    await session.extend(1);
    expect((await reap()).sessions).toEqual([id]);
  });

  test('is moved by extend, which changes nothing else', async () => {
    await using session = await provider.createSession({ ttlMs: 1_000, metadata: { team: 'a' }, name: 'extended' });
    const { container: before } = await channel.unary(ContainersService.get, { id: session.sessionId });
    const labels = { ...before?.labels, 'another.client/label': 'kept' };
    const container = { ...emptyContainer, id: session.sessionId, labels };
    await channel.unary(ContainersService.update, { container, updateMask: ['labels.another.client/label'] });
    const expiresAt = await session.extend(60_000);
    expect(expiresAt.getTime()).toBeGreaterThan(Date.now() + 50_000);
    expect(await session.info()).toMatchObject({ expiresAt, metadata: { team: 'a' }, name: 'extended' });
    const { container: after } = await channel.unary(ContainersService.get, { id: session.sessionId });
    expect(after).toEqual({
      ...before,
      labels: { ...labels, 'cadre.dev/expires-at': expiresAt.toISOString() },
      updatedAt: after?.updatedAt,
    });
    await expect(session.extend(0)).rejects.toMatchObject({ code: 'invalid-argument' });
    await expect(session.extend(Number.NaN)).rejects.toMatchObject({ code: 'invalid-argument' });
  });
});

const emptyContainer = {
  id: '',
  labels: {},
  image: '',
  runtime: { name: 'io.containerd.runc.v2', options: undefined },
  spec: { typeUrl: 'types.containerd.io/opencontainers/runtime-spec/1/Spec', value: Buffer.from('{}') },
  snapshotter: '',
  snapshotKey: '',
  createdAt: undefined,
  updatedAt: undefined,
  extensions: {},
  sandbox: '',
};
