import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { readRuntimeFacts } from '../../src/session/runtime-facts.js';

function makeHost(files: Record<string, string>): string {
  const root = mkdtempSync(join(tmpdir(), 'host-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
    if (path.includes('/bin/')) chmodSync(join(root, path), 0o755);
  }
  return root;
}

const files = {
  '/dev/kvm': '',
  '/dev/vhost-vsock': '',
  '/proc/cpuinfo': 'flags\t\t: fpu vmx sse\n',
  '/etc/kata-containers/configuration-qemu.toml': '',
  '/usr/share/defaults/kata-containers/configuration.toml': '',
  '/chosen/kata.toml': '',
};
const runtime = 'io.containerd.kata-qemu.v2';

test('what Kata stands on is found where it is', async () => {
  expect(await readRuntimeFacts({ runtime, hostRoot: makeHost(files) })).toMatchObject({
    kvm: undefined,
    vsock: undefined,
    virtualization: true,
    configuration: { path: '/etc/kata-containers/configuration-qemu.toml', isThere: true },
  });
});

test('what is not there is not found', async () => {
  const facts = await readRuntimeFacts({ runtime: '/no/such/shim', hostRoot: makeHost({}) });
  expect(facts).toMatchObject({
    shim: undefined,
    kvm: 'ENOENT',
    vsock: 'ENOENT',
    configuration: { path: 'configuration.toml', isThere: false },
  });
  expect(facts.virtualization).toBe(process.arch !== 'x64');
});

test('a configuration that was chosen is the one that counts, whatever else is there', async () => {
  const hostRoot = makeHost(files);
  const environment = { KATA_CONF_FILE: '/absent.toml' };
  const daemon = { environment, places: [], root: '' };
  const find = async (request: object) => (await readRuntimeFacts({ runtime, hostRoot, ...request })).configuration;
  expect(await find({ configPath: '/chosen/kata.toml', daemon })).toEqual({ path: '/chosen/kata.toml', isThere: true });
  expect(await find({ daemon })).toEqual({ path: '/absent.toml', isThere: false });
  expect(await find({ runtime: 'io.containerd.kata-clh.v2' })).toEqual({
    path: '/usr/share/defaults/kata-containers/configuration.toml',
    isThere: true,
  });
});

describe('programs', () => {
  const kata = 'io.containerd.kata.v2';
  const open = (tools: Record<string, string>) => {
    const root = makeHost(Object.fromEntries(Object.entries(tools).map(([name, text]) => [`/bin/${name}`, text])));
    return {
      daemon: { environment: {}, places: [join(root, 'bin')], root: '' },
      bin: join(root, 'bin'),
      isThorough: true,
    };
  };

  test('are looked for in the places of the daemon alone', async () => {
    const { daemon } = open({ 'containerd-shim-runc-v2': '' });
    const facts = await readRuntimeFacts({ runtime: 'io.containerd.runc.v2', daemon, isThorough: true });
    expect(facts).toMatchObject({ isCertain: true, shim: expect.stringMatching(/bin\/containerd-shim-runc-v2$/) });
    expect(facts.runc).toBeUndefined();
  });

  test('links are followed as the daemon sees them, in its own root', async () => {
    const root = makeHost({ '/opt/kata/bin/containerd-shim-kata-v2': '', '/opt/kata/etc/clh.toml': '' });
    mkdirSync(join(root, 'usr/bin'), { recursive: true });
    mkdirSync(join(root, 'etc/kata-containers'), { recursive: true });
    symlinkSync('/opt/kata/bin/containerd-shim-kata-v2', join(root, 'usr/bin/containerd-shim-kata-v2'));
    symlinkSync('../../opt/kata/etc/clh.toml', join(root, 'etc/kata-containers/configuration.toml'));
    symlinkSync('/bin/sh', join(root, 'usr/bin/runc'));
    const daemon = { environment: {}, places: ['/opt/kata/etc/clh.toml', '/usr/bin'], root };
    expect(await readRuntimeFacts({ runtime: kata, daemon })).toMatchObject({
      shim: '/usr/bin/containerd-shim-kata-v2',
      // It leads to a file of this host, which is none of the daemon's.
      runc: undefined,
      configuration: { isThere: true },
    });
  });

  test('what the shim itself said goes before what was seen', async () => {
    const { daemon } = open({});
    expect((await readRuntimeFacts({ runtime: kata, daemon, answers: true })).shim).toBe('containerd-shim-kata-v2');
    const other = open({ 'containerd-shim-kata-v2': '' });
    expect((await readRuntimeFacts({ runtime: kata, ...other, answers: false })).shim).toBeUndefined();
  });

  test.each([
    ['its version', '#!/bin/sh\necho runc version 1.3.3; echo commit: x', { says: 'runc version 1.3.3' }],
    [
      'its failure',
      '#!/bin/sh\necho no libseccomp >&2; exit 127',
      { problem: expect.stringContaining('no libseccomp') },
    ],
    ['that it says nothing', '#!/bin/sh\n', { problem: 'says nothing' }],
    [
      'that it does not end',
      '#!/bin/sh\nexec sleep 30',
      { problem: expect.stringContaining('did not end in 2000 ms') },
    ],
  ])('runc tells %s', async (_, text, told) => {
    const { bin, ...tools } = open({ runc: text });
    const { runc } = await readRuntimeFacts({ runtime: 'io.containerd.runc.v2', ...tools });
    expect(runc).toEqual({ path: join(bin, 'runc'), ...told });
  });

  test.each([
    [
      'echo WARN; echo System is capable of running Kata Containers',
      true,
      'System is capable of running Kata Containers',
    ],
    ['echo ERROR: kvm is not loaded; exit 1', false, expect.stringContaining('kvm is not loaded')],
  ])('kata-runtime check, which says: %s', async (script, passed, says) => {
    const { daemon } = open({
      'kata-runtime': `#!/bin/sh\n[ "$*" = 'check --no-network-checks' ] || exit 2\n${script}`,
    });
    expect((await readRuntimeFacts({ runtime: kata, daemon, isThorough: true })).kataCheck).toEqual({ passed, says });
    expect((await readRuntimeFacts({ runtime: kata, daemon })).kataCheck).toBeUndefined();
  });
});
