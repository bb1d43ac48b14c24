import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import os, { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { findExposure, listHostPaths } from '../../src/session/host-paths.js';

const own = [{ path: '/srv/state', reason: 'the state of all sessions' }];
const judge = (source: string, readOnly = true) => findExposure({ source, readOnly }, listHostPaths(own));

describe('a source that exposes the host, and why', () => {
  test.each([
    ['/', 'whole host'],
    ['/proc', 'processes'],
    ['/proc/1/root', 'processes'],
    ['/sys/fs/cgroup', 'cgroups'],
    ['/dev/vda', 'devices'],
    ['/dev/shm/x', 'devices'],
    ['/run', 'sockets'],
    ['/run/docker.sock', 'sockets'],
    ['/run/user/1000/podman/podman.sock', 'sockets'],
    ['/boot/vmlinuz', 'kernel'],
    ['/etc', 'accounts'],
    ['/etc/shadow', 'accounts'],
    ['/root', 'home of root'],
    ['/root/project', 'home of root'],
    ['/var/lib/containerd/io.containerd.metadata.v1.bolt', 'containerd'],
    ['/var/lib/docker/overlay2', 'docker'],
    ['/var/lib/containers', 'podman'],
    ['/var/lib/kubelet/pods', 'Kubernetes'],
    ['/var/spool/cron', 'commands that the host runs'],
    // Above what is refused.
    ['/var', 'in it is /var/'],
    ['/var/lib', 'in it is /var/lib/'],
    ['/srv', 'in it is /srv/state'],
    ['/srv/state/x', 'state of all sessions'],
    ['/home', 'in it is /home/'],
    // Wherever they are.
    ['/opt/people/ann/.ssh', 'SSH keys'],
    ['/opt/people/ann/.ssh/id_ed25519', 'SSH keys'],
    ['/opt/people/ann/.aws/credentials', 'AWS'],
    ['/opt/people/ann/.config/gcloud', 'Google Cloud'],
    ['/opt/people/ann/.azure', 'Azure'],
    ['/opt/people/ann/.kube/config', 'Kubernetes'],
    ['/opt/people/ann/.docker/config.json', 'registries'],
    ['/opt/ctd/io.containerd.snapshotter.v1.overlayfs/snapshots/1/fs', 'a containerd'],
  ])('%s: %s', (source, reason) => {
    // A machine without people has no home below /home.
    const hostPaths = [...listHostPaths(own), { path: '/home/ann/.ssh', reason: 'SSH keys in a home' }];
    expect(findExposure({ source, readOnly: true }, hostPaths)).toContain(reason);
  });

  test('a whole home, of whoever runs this too', () => {
    expect(judge(os.homedir())).toBeDefined();
    const homes = [{ path: '/data/ann/.ssh', reason: 'SSH keys in a home' }];
    expect(findExposure({ source: '/data/ann', readOnly: true }, homes)).toContain('SSH keys');
    expect(findExposure({ source: '/data/ann/project', readOnly: true }, homes)).toBeUndefined();
  });

  test('programs of the host, where they can be written', () => {
    expect(judge('/usr/bin', false)).toContain('programs');
    expect(judge('/usr', true)).toBeUndefined();
  });
});

test.each([
  ['/host', '8:1', '/', 'in it is /'],
  ['/host/etc/ssl', '8:1', '/', '/etc is'],
  ['/mnt/x', '8:1', '/etc/ssh', '/etc is'],
  ['/mnt/x', '8:1', '/opt/app', undefined],
  ['/mnt/x', '8:2', '/etc', undefined],
])('%s, a second place of %s %s: %s', (source, device, root, reason) => {
  const point = source
    .split('/')
    .slice(0, root === '/' ? 2 : 3)
    .join('/');
  const common = { parent: '1', options: [], type: 'ext4', superOptions: [] };
  const table = [
    { ...common, id: '2', device: '8:1', root: '/', point: '/' },
    { ...common, id: '3', device, root, point },
  ];
  const exposure = findExposure({ source, readOnly: true }, listHostPaths([]), table);
  if (reason === undefined) expect(exposure).toBeUndefined();
  else expect(exposure).toContain(reason);
});

describe('an engine that listens elsewhere, and a place behind a link', () => {
  const directory = mkdtempSync(join(tmpdir(), 'cadre-sockets-'));
  afterAll(() => rmSync(directory, { recursive: true }));

  test.each(['docker.sock', 'containerd.sock', 'podman.sock', 'crio.sock'])('%s', async (name) => {
    const socket = join(directory, name);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    try {
      expect(judge(socket)).toContain('the socket of a container engine');
      expect(judge(directory)).toContain(`in it is ${socket}`);
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
    expect(judge(directory)).toBeUndefined();
  });

  test('what a known place leads to', () => {
    const link = join(directory, 'data');
    symlinkSync('/opt/data', link);
    const places = listHostPaths([{ path: link, reason: 'x' }]);
    // Dangling: it leads nowhere yet.
    expect(places.map(({ path }) => path)).toContain(link);
    const real = mkdtempSync(join(tmpdir(), 'cadre-real-'));
    try {
      const to = join(directory, 'to');
      symlinkSync(real, to);
      expect(findExposure({ source: real, readOnly: true }, listHostPaths([{ path: to, reason: 'x' }]))).toContain('x');
      // Where it will be, of what is not there yet.
      const later = listHostPaths([{ path: join(to, 'not/yet'), reason: 'x' }]);
      expect(findExposure({ source: join(real, 'not'), readOnly: true }, later)).toContain('in it is');
    } finally {
      rmSync(real, { recursive: true });
    }
  });
});

test.each([
  '/srv/project',
  '/opt/app',
  '/var/cache/build',
  '/home/ann/project',
  '/data',
  '/tmp/x',
  '/runner',
  '/etcetera',
])('%s is a source like any other', (source) => {
  expect(judge(source, false)).toBeUndefined();
});
