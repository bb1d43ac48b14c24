import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { readRuntimeFacts } from '../../src/session/runtime-facts.js';

function makeHost(files: Record<string, string>): string {
  const root = mkdtempSync(join(tmpdir(), 'host-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

const files = {
  '/dev/kvm': '',
  '/dev/vhost-vsock': '',
  '/proc/cpuinfo': 'flags\t\t: fpu vmx sse\n',
  '/etc/kata-containers/configuration-qemu.toml': '',
};

test('what Kata stands on is found where it is', async () => {
  const facts = await readRuntimeFacts('io.containerd.kata-qemu.v2', { hostRoot: makeHost(files) });
  expect(facts).toMatchObject({
    kvm: true,
    vsock: true,
    virtualization: true,
    configuration: '/etc/kata-containers/configuration-qemu.toml',
  });
});

test('what is not there is not found', async () => {
  const facts = await readRuntimeFacts('/no/such/shim', { hostRoot: makeHost({}) });
  expect(facts).toMatchObject({ shim: undefined, kvm: false, vsock: false, configuration: undefined });
  expect(facts.virtualization).toBe(process.arch !== 'x64');
});
