import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { Any } from '../../../src/generated/google/protobuf/any.js';
import { ContainerdProvider } from '../../../src/index.js';
import type { ProviderOptions } from '../../../src/provider/options.js';
import { findShims } from '../../../src/session/leftovers.js';
import { readStat } from '../../../src/session/proc.js';
import type { OciSpec } from '../../../src/spec/types.js';
import { context } from '../../support/context.js';
import { nameNamespace, startDaemon } from '../../support/daemon.js';
import { makeKataHost, RECORDING_SHIM } from '../../support/kata-host.js';
import { observe, settle } from '../../support/leaks.js';
import { offline } from '../../support/provider.js';

// The bytes that containerd sends to the shim itself, by a tap between the two.

const directory = mkdtempSync(join(tmpdir(), 'handed-'));
const hostRoot = makeKataHost(join(directory, 'host'));
const record = join(directory, 'record');
afterAll(() => rmSync(directory, { recursive: true }));

async function open(env: Record<string, string>, options: Partial<ProviderOptions>) {
  const { generation, images } = context;
  const tap = join(RECORDING_SHIM, 'tap.mjs');
  const daemon = await startDaemon({
    generation,
    path: [RECORDING_SHIM],
    env: { CADRE_RECORD: record, CADRE_TAP: tap, ...env },
  });
  const namespace = nameNamespace();
  const stateRoot = join(directory, namespace);
  const provider = new ContainerdProvider(
    {
      image: images.reference,
      address: daemon.address,
      namespace,
      stateRoot,
      volumeRoot: join(stateRoot, 'volumes'),
      runtime: 'kata',
      policy: offline,
      ...options,
    },
    { hostRoot },
  );
  await provider.importImage(images.dockerArchive);
  return { daemon, provider, scope: { address: daemon.address, root: daemon.root, namespace, stateRoot } };
}

test('the options are those of the general type, byte for byte, and the output goes to a program', async () => {
  const configPath = '/etc/kata-containers/configuration.toml';
  const { daemon, provider, scope } = await open({}, { runtimeOptions: { configPath } });
  await using _daemon = daemon;
  await using _provider = provider;
  await using session = await provider.createSession({ command: ['sh', '-c', 'echo out; sleep 1000'] });
  const read = (name: string) => readFileSync(join(record, session.sessionId, name));
  // runtimeoptions.v1.Options of containerd: config_path is field 2.
  const value = Buffer.concat([Buffer.from([0x12, configPath.length]), Buffer.from(configPath)]);
  const any = Buffer.from(Any.encode(Any.create({ typeUrl: 'runtimeoptions.v1.Options', value })).finish());
  expect(read('options')).toEqual(any);
  // The shim's own request: 1 id, 2 bundle, 3 mounts, 4 terminal, 5 to 7 the streams, 10 options.
  const create = read('create');
  expect(create.subarray(0, 2 + session.sessionId.length)).toEqual(
    Buffer.concat([Buffer.from([0x0a, session.sessionId.length]), Buffer.from(session.sessionId)]),
  );
  expect(create.includes(Buffer.concat([Buffer.from([0x52, any.length]), any]))).toBe(true);
  const text = decodeURIComponent(create.toString('latin1').replaceAll('+', ' '));
  expect(text).toContain("binary:///bin/sh?-c=trap '' TERM; exec 5>&-; cat <&3 >>'");
  expect(text).toContain(`>>'${scope.stateRoot}/`);
});

/** Ids, numbers and places of this run in the words of every run. */
function normalize(text: string, id: string, scope: { namespace: string; root: string }): string {
  return (
    text
      .replaceAll(id, 'cadre-ID')
      .replaceAll(scope.namespace, 'NAMESPACE')
      .replaceAll(directory, '/DIRECTORY')
      .replaceAll(encodeURIComponent(directory), '%2FDIRECTORY')
      .replaceAll(scope.root, '/DAEMON')
      .replace(/(?<=\/|%2F)[0-9a-f]{8}-NAMESPACE/g, 'HASH')
      .replace(/(?<=\/snapshots\/)\d+/g, 'N')
      .replace(/(?<=-publish-binary\n).*/, '/CONTAINERD')
      // One for each processor of the host, and what overlayfs is told on some kernels.
      .replace(/,"\/sys\/devices\/system\/cpu\/cpu\d+\/thermal_throttle"/g, '')
      .replace(/ {2}4: "(index=off|userxattr)"\n/g, '')
  );
}

test('a whole session is handed over byte for byte as the files in golden/ have it', async () => {
  const configPath = '/etc/kata-containers/configuration.toml';
  const { daemon, provider, scope } = await open({}, { runtimeOptions: { configPath, sizing: 'annotations' } });
  await using _daemon = daemon;
  await using _provider = provider;
  const bound = join(directory, 'bound');
  mkdirSync(bound, { recursive: true });
  await using session = await provider.createSession({
    command: ['sh', '-c', 'echo out; sleep 1000'],
    env: { A: 'b' },
    resources: { memoryMb: 512, cpus: 2, cpuShares: 512 },
    readOnlyRootfs: true,
    mounts: [
      { path: bound, target: '/bound', readOnly: true },
      { path: '/scratch', type: 'tmpfs', readOnly: false, sizeBytes: 2 ** 20 },
    ],
    secrets: [{ name: 'key', value: 'planted' }],
  });
  const { sessionId: id } = session;
  const kept = (name: string) => readFileSync(join(record, id, name));
  const config = kept('config.json').toString();
  // Of the host's kernel, and held by test/spec.
  const seccomp = JSON.stringify((JSON.parse(config) as OciSpec).linux.seccomp);
  const handed = {
    'config.json': config.replace(seccomp, '"OF THE HOST"'),
    arguments: kept('arguments').toString(),
    create: describeWire(kept('create')),
    options: describeWire(kept('options')),
  };
  expect(config).not.toContain('planted');
  for (const [name, text] of Object.entries(handed)) {
    // The same on every generation.
    const file = `golden/${name}.txt`;
    await expect(normalize(text, id, scope), name).toMatchFileSnapshot(file);
  }
});

/** Every field of a message in its order, with those of the messages in it: all of its bytes but lengths. */
function describeWire(bytes: Buffer, indent = ''): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const readVarint = () => {
      let value = 0;
      for (let factor = 1; ; factor *= 128) {
        const byte = bytes[at++] ?? 0;
        value += (byte & 0x7f) * factor;
        if (byte < 0x80) return value;
      }
    };
    const key = readVarint();
    const number = key >> 3;
    if (key % 8 === 0) lines.push(`${indent}${number}: ${readVarint()}`);
    else {
      expect(key % 8).toBe(2);
      const length = readVarint();
      const content = bytes.subarray(at, at + length);
      at += length;
      const isText = /^[\x20-\x7e]*$/.test(content.toString('latin1'));
      lines.push(isText ? `${indent}${number}: ${JSON.stringify(content.toString())}` : `${indent}${number}:`);
      if (!isText) lines.push(describeWire(content, `${indent}  `));
    }
  }
  return lines.join('\n');
}

test('a creation that never returns is given up after its time, and nothing is left', async () => {
  const { daemon, provider, scope } = await open({ CADRE_TAP_HANG: '1' }, { createTimeoutMs: 3_000 });
  await using _daemon = daemon;
  await using _provider = provider;
  const before = await observe(scope);
  const created = readdirSync(record);
  const started = Date.now();
  await expect(provider.createSession()).rejects.toMatchObject({
    code: 'deadline-exceeded',
    operation: expect.stringContaining('Tasks.Create'),
  });
  expect(Date.now() - started).toBeLessThan(60_000);
  expect(await settle(scope, before)).toEqual(before);
  expect(findShims(scope.address, scope.namespace, 0)).toEqual([]);
  // It was in the shim, and stayed there.
  const [id = ''] = readdirSync(record).filter((name) => !created.includes(name));
  expect(readFileSync(join(record, id, 'unanswered'), 'utf8')).toMatch(/^Create\n/);
  // And what stands for its hypervisor has ended with it.
  const guest = Number(readFileSync(join(record, id, 'guest'), 'utf8'));
  expect(['Z', undefined]).toContain(readStat(guest)?.state);
});
