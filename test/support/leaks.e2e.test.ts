import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { findContainerd } from './containerd-binary.js';
import { context, onlyOn } from './context.js';
import { nameNamespace, startDaemon } from './daemon.js';
import { observeHost } from './host-state.js';
import { collectGarbage, observe, type Scope, settle } from './leaks.js';

// ctr is the judge's tool here, so that the counters are shown to see what the library had no hand in.
const program = join(findContainerd(context.generation).directory, 'ctr');
const ctr = ({ address, namespace }: Scope, ...args: string[]) =>
  execFileSync(program, ['--address', address, '--namespace', namespace, ...args], { encoding: 'utf8', stdio: 'pipe' });

function runContainer(scope: Scope, id: string): void {
  const fifos = join(scope.root, 'fifos');
  ctr(scope, 'run', '--detach', '--fifo-dir', fifos, context.images.reference, id, 'sleep', '1000');
}

test('a live container is seen everywhere, a removed one nowhere', async () => {
  const id = nameNamespace();
  const scope = { ...context, ids: [id] };
  ctr(scope, 'images', 'import', context.images.dockerArchive);
  await collectGarbage(scope);
  const before = await observe(scope);
  expect(before.api.content.length).toBeGreaterThan(0);

  runContainer(scope, id);
  const alive = await observe(scope);
  expect(alive.api).toMatchObject({ containers: [id], tasks: [id] });
  expect(alive.host).toMatchObject({ bundles: [id], runc: [id], sockets: [id] });
  // /proc/PID/cmdline reads as empty at moments (proc(5)), so one look may miss a shim that is there.
  await expect.poll(async () => (await observeHost(scope)).shims).toEqual([id]);
  expect(alive.host.mounts).toHaveLength(1);
  expect(alive.host.cgroups.filter((path) => !path.endsWith(`${context.namespace}/${id}`))).toEqual([]);
  expect(alive.host.cgroups.length).toBeGreaterThan(0);
  expect(alive.api.snapshots.length).toBe(before.api.snapshots.length + 1);
  expect(await settle(scope, before, 500)).not.toEqual(before);

  ctr(scope, 'tasks', 'delete', '--force', id);
  ctr(scope, 'containers', 'delete', id);
  await collectGarbage(scope);
  expect(await settle(scope, before)).toEqual(before);
});

test('a stopped daemon takes its running containers along', async () => {
  await using daemon = await startDaemon({ generation: context.generation });
  // Random: other containers of this host may be called s1.
  const ids = [nameNamespace(), nameNamespace()].sort();
  const [s1 = '', s2 = ''] = ids;
  const scope = { address: daemon.address, root: daemon.root, namespace: context.namespace, ids };
  ctr(scope, 'images', 'import', context.images.dockerArchive);
  runContainer(scope, s1);
  runContainer(scope, s2);
  const before = await observeHost(scope);
  expect(before).toMatchObject({ shims: ids, sockets: ids });
  await daemon.kill9();
  expect((await observeHost(scope)).shims).toEqual(ids);
  await daemon.restart();
  expect(ctr(scope, 'tasks', 'list').match(/RUNNING/g)).toHaveLength(2);
  // One whose bundle is gone, so that only its command line tells whose it is.
  rmSync(`${daemon.root}/state/io.containerd.runtime.v2.task/${scope.namespace}/${s2}/config.json`);
  await daemon.stop();
  const after = await observeHost(scope);
  expect(Object.entries(after).filter(([, list]) => list.length > 0)).toEqual([]);
});

onlyOn(['1.6'], 'an upgrade begins at the oldest')('upgrade', () => {
  test('a container outlives the change to the newest generation, and its remains are cleared', async () => {
    await using daemon = await startDaemon({ generation: '1.6' });
    const id = nameNamespace();
    const scope = { address: daemon.address, root: daemon.root, namespace: context.namespace, ids: [id] };
    ctr(scope, 'images', 'import', context.images.dockerArchive);
    runContainer(scope, id);
    await daemon.restart('2.1');
    expect(daemon.version).toMatch(/^2\.1\./);
    expect((await observe(scope)).api.tasks).toEqual([id]);
    await daemon.stop();
    const after = await observeHost(scope);
    expect(Object.entries(after).filter(([, list]) => list.length > 0)).toEqual([]);
  });
});
