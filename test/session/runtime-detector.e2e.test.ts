import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Channel } from '../../src/rpc/channel.js';
import { findDaemon } from '../../src/session/daemon.js';
import { RuntimeDetector } from '../../src/session/runtime-detector.js';
import { context } from '../support/context.js';
import { type Daemon, nameNamespace, startDaemon } from '../support/daemon.js';
import { kataPrelude, makeKataHost, makeShim, type Part } from '../support/kata-host.js';
import { watchSteal } from '../support/patience.js';

const KATA = 'io.containerd.kata.v2';
const directory = mkdtempSync(join(tmpdir(), 'detector-'));
const channel = new Channel(context);
const hasNone = new RuntimeDetector(channel);
let daemon: Daemon;
let withShim: Channel;

beforeAll(async () => {
  makeShim(join(directory, 'bin'));
  const { generation } = context;
  daemon = await startDaemon({ generation, path: [join(directory, 'bin')], prelude: kataPrelude });
  withShim = new Channel({ address: daemon.address, namespace: nameNamespace() });
});
afterAll(async () => {
  channel.close();
  withShim.close();
  await daemon.stop();
  rmSync(directory, { recursive: true });
});

const failed = async (checking: ReturnType<RuntimeDetector['check']>) =>
  (await checking).filter(({ state }) => state === 'failed').map(({ name }) => name);

test('the daemon is found by its socket, with its own places and files', async () => {
  expect(await findDaemon(channel)).toMatchObject({ root: '', environment: { PATH: expect.any(String) } });
  const own = await findDaemon(withShim);
  expect(own).toMatchObject({ root: `/proc/${daemon.pid}/root` });
  expect(own?.places).toContain(join(directory, 'bin'));
  expect((await findDaemon(channel))?.places).not.toContain(join(directory, 'bin'));
});

test('runc is there', async () => {
  expect(await failed(hasNone.check({ runtime: 'io.containerd.runc.v2' }))).toEqual([]);
  await hasNone.require({ runtime: 'io.containerd.runc.v2' }, context.version);
});

test('what is missing is looked for again, what was found is not for a while', async () => {
  const hostRoot = makeKataHost(mkdtempSync(join(directory, 'host-')), ['/dev/kvm']);
  const detector = new RuntimeDetector(withShim, { hostRoot });
  const find = () => detector.require({ runtime: KATA }, context.version);
  await expect(find()).rejects.toThrow('/dev/kvm');
  makeKataHost(hostRoot);
  await find();
  rmSync(join(hostRoot, 'dev/kvm'));
  await find();
});

test('what the daemon alone sees of Kata is seen', async () => {
  expect(await failed(new RuntimeDetector(withShim).check({ runtime: KATA }))).toEqual([]);
});

describe('a missing part is told within two seconds, with how to get it:', () => {
  const shim = join(directory, 'bin/containerd-shim-kata-v2');
  test.each<[runtime: string, missing: Part[], channel: () => Channel, text: string, remedy: string]>([
    [KATA, [], () => channel, 'no containerd-shim-kata-v2', 'install Kata Containers'],
    ['/no/containerd-shim-kata-v2', [], () => withShim, 'no /no/containerd-shim-kata-v2', 'install /no/containerd'],
    ['io.containerd.runsc.v1', [], () => withShim, 'no containerd-shim-runsc-v1', 'install containerd-shim-runsc-v1'],
    [KATA, ['/dev/kvm'], () => withShim, '/dev/kvm (not there)', 'load the module kvm_intel or kvm_amd'],
    [shim, ['/dev/vhost-vsock'], () => channel, '/dev/vhost-vsock (not there)', 'load the module vhost_vsock'],
    [
      KATA,
      ['/etc/kata-containers/configuration.toml'],
      () => withShim,
      'no configuration.toml',
      '/etc/kata-containers',
    ],
  ])('%s without %j', async (runtime, missing, open, text, remedy) => {
    const hostRoot = makeKataHost(mkdtempSync(join(directory, 'host-')), missing);
    const started = Date.now();
    const stolen = watchSteal();
    const refused = new RuntimeDetector(open(), { hostRoot }).require({ runtime }, context.version);
    await expect(refused).rejects.toMatchObject({
      code: 'failed-precondition',
      message: expect.stringContaining(text),
      remedy: expect.stringContaining(remedy),
    });
    await expect(refused).rejects.toThrow(/^sessions cannot run on [^;]+; [^;]+$/);
    expect(Date.now() - started - stolen()).toBeLessThan(2_000);
  });

  test('containerd older than 1.6', async () => {
    await expect(hasNone.require({ runtime: 'io.containerd.runc.v2' }, '1.5.18')).rejects.toMatchObject({
      code: 'failed-precondition',
      message: expect.stringContaining('containerd 1.5.18'),
      remedy: 'install containerd 1.6 or later',
    });
  });
});
