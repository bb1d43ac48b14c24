import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { Attestation, CreateOptions, Session } from '../../../src/index.js';
import { unpackJson } from '../../../src/rpc/any.js';
import { Channel } from '../../../src/rpc/channel.js';
import { findRecord } from '../../../src/session/find.js';
import { readTask } from '../../../src/session/task.js';
import { verifyProcess } from '../../../src/session/verify/verify.js';
import type { OciSpec } from '../../../src/spec/types.js';
import { listFaults } from '../../support/attested.js';
import { context, unseen } from '../../support/context.js';
import { EXECUTOR } from '../../support/executor.js';
import { openProvider } from '../../support/provider.js';
import { tamperings } from './tampering.js';

const { isKata } = context;
const provider = await openProvider();
const channel = new Channel(context);

const tight: CreateOptions = {
  readOnlyRootfs: true,
  resources: {
    memoryMb: 64,
    cpus: 0.5,
    cpuShares: 512,
    ...(isKata ? {} : { memorySwapMb: 64, pidsLimit: 64, ulimits: [{ type: 'nofile', soft: 64, hard: 128 }] }),
  },
  mounts: [{ path: '/scratch', type: 'tmpfs', readOnly: false, sizeBytes: 1024 * 1024 }],
};

function listFailed(attestation: Attestation): string[] {
  return listFaults(attestation).map(({ field }) => field);
}

/** Of a guest the host sees the network namespace that was given to it, and says of all the rest that it does not. */
function expectSound(attestation: Attestation): void {
  expect(listFailed(attestation)).toEqual([]);
  expect(attestation.ok).toBe(!isKata);
  const { checks } = attestation;
  expect(checks.some(({ unverifiable }) => unverifiable)).toBe(isKata);
  if (isKata) expect(checks.find(({ ok }) => ok)?.field).toMatch(/^linux\.namespaces\.network/);
}

/** The document and the init as the daemon has them. */
async function look(session: Session): Promise<{ spec: OciSpec; pid: number }> {
  const { container } = await findRecord(channel, session.sessionId);
  const { pid } = await readTask(channel, session.sessionId);
  return { spec: unpackJson(container.spec as never) as OciSpec, pid };
}

test.each<[string, CreateOptions]>([
  ['nothing asked', {}],
  ['everything tight', tight],
  ['an ordinary user', { user: 'agent', ...(isKata ? {} : { noNewPrivileges: true }) }],
  [
    'an ordinary user with a capability',
    { user: '1234:99', capabilities: { add: ['NET_BIND_SERVICE', 'SYS_CHROOT'] } },
  ],
  ['no capabilities', { capabilities: { drop: ['ALL'] } }],
  ['parameters of the kernel', { sysctls: { 'net.core.somaxconn': '77', 'kernel.sem': '250 32000 100 128' } }],
  ['wide open', { seccomp: 'unconfined', noNewPrivileges: false, capabilities: { add: ['SYS_ADMIN', 'NET_RAW'] } }],
  [
    'a command with a terminal',
    { command: ['sleep', '1000'], tty: true, ...(isKata ? {} : { resources: { oomScoreAdj: 500 } }) },
  ],
  ['odd sizes', { memory: 64 * 1024 * 1024 + 1, mounts: [{ ...tight.mounts?.[0], sizeBytes: 4097 }] } as CreateOptions],
])('%s: what the kernel says is what was asked', async (_, policy) => {
  await using session = await provider.createSession(policy);
  const attestation = await session.verify();
  expectSound(attestation);
  expect(new Set(attestation.checks.map(({ field }) => field)).size).toBe(attestation.checks.length);
});

test.for(['default', 'strict', 'permissive'])('profile %s', async (profile, { skip }) => {
  if (isKata && profile !== 'default') skip('it asks for a limit of processes, which is refused on Kata');
  await using session = await provider.createSession({ profile });
  expectSound(await session.verify());
});

test('files of the host, volumes and secrets', async () => {
  const directory = mkdtempSync(join(context.root, 'verified-'));
  mkdirSync(join(directory, 'below'));
  execFileSync('mount', ['-t', 'tmpfs', 'below', join(directory, 'below')]);
  onTestFinished(() => {
    execFileSync('umount', [join(directory, 'below')]);
  });
  writeFileSync(join(directory, 'file'), 'text');
  await using session = await provider.createSession({
    mounts: [
      { path: directory, target: '/all', readOnly: true },
      { path: join(directory, 'file'), target: '/a b', readOnly: false },
      { path: 'verified', type: 'volume', target: '/data', readOnly: false },
    ],
    secrets: [{ name: 'TOKEN', value: 'planted' }],
  });
  const attestation = await session.verify();
  expectSound(attestation);
  expect(JSON.stringify(attestation)).not.toContain('planted');
  const { pid } = await look(session);
  if (isKata) return;
  execFileSync('nsenter', [
    `--target=${pid}`,
    '--mount',
    '--pid',
    '/bin/busybox',
    'mount',
    '-o',
    'remount,bind,rw',
    '/all',
  ]);
  expect(listFailed(await session.verify())).toEqual(['mounts./all']);
});

test('every part of the document is read back, with its source', async ({ skip }) => {
  skip(isKata, unseen);
  await using session = await provider.createSession(tight);
  const { checks } = await session.verify();
  const find = (field: string) => checks.find((each) => each.field === field);
  const { pid } = await look(session);
  expect(find('process.capabilities.effective')).toMatchObject({
    observed: expect.arrayContaining(['CAP_CHOWN', 'CAP_KILL']),
    source: `/proc/${pid}/status CapEff`,
  });
  expect(find('linux.resources.memory.limit')).toMatchObject({ expected: 67_108_864, observed: 67_108_864 });
  expect(find('linux.maskedPaths./proc/keys')).toMatchObject({ observed: 'hidden' });
  expect(find('mounts./scratch')).toMatchObject({
    observed: { type: 'tmpfs', size: 1_048_576, restrictions: ['nosuid', 'nodev'] },
  });
  for (const field of ['pid', 'ipc', 'uts', 'mount', 'network', 'cgroup'])
    expect(find(`linux.namespaces.${field}`)?.observed).toMatch(/:\[\d+\]$/);
  for (const field of ['hostname', 'root.readonly', 'linux.seccomp', 'linux.uidMappings', 'linux.cgroupsPath']) {
    expect(find(field), field).toBeDefined();
  }
});

test.for(tamperings)('$what is found, as $fields', async ({ fields, lacks, act }, { skip }) => {
  if (lacks !== undefined) skip(`this host has no ${lacks}`);
  skip(isKata && !fields.every((field) => field.startsWith('linux.namespaces.network')), unseen);
  await using session = await provider.createSession(tight);
  const { pid } = await look(session);
  expectSound(await session.verify());
  const undo = act(pid);
  const attestation = await session.verify();
  if (typeof undo === 'function') undo();
  expect(listFailed(attestation)).toEqual(fields);
  expect(attestation.ok).toBe(false);
});

const sets = ['process.capabilities.permitted', 'process.capabilities.effective'];
const contradictions: [field: string, change: (spec: OciSpec) => void][] = [
  ['process.capabilities.bounding', ({ process }) => process.capabilities.bounding.pop()],
  [
    'process.capabilities.inheritable',
    ({ process }) => Object.assign(process.capabilities, { inheritable: ['CAP_CHOWN'] }),
  ],
  ['process.noNewPrivileges', ({ process }) => Object.assign(process, { noNewPrivileges: false })],
  ['process.user.uid', ({ process }) => Object.assign(process.user, { uid: 1 })],
  ['process.user.gid', ({ process }) => Object.assign(process.user, { gid: 1 })],
  ['process.user.additionalGids', ({ process }) => Object.assign(process.user, { additionalGids: [7] })],
  ['process.apparmorProfile', ({ process }) => Object.assign(process, { apparmorProfile: 'cadre' })],
  ['linux.uidMappings', ({ linux }) => Object.assign(linux, { uidMappings: [{ containerID: 0, hostID: 9, size: 1 }] })],
  ['linux.sysctl.net.core.somaxconn', ({ linux }) => Object.assign(linux, { sysctl: { 'net.core.somaxconn': '7' } })],
  ['linux.namespaces.user', ({ linux }) => linux.namespaces.push({ type: 'user' })],
  ['linux.namespaces.pid', ({ linux }) => Object.assign(linux.namespaces[0] as object, { path: '/proc/self/ns/pid' })],
  ['linux.maskedPaths./proc/version', ({ linux }) => linux.maskedPaths.push('/proc/version')],
  ['linux.readonlyPaths./proc/tty', ({ linux }) => linux.readonlyPaths.push('/proc/tty')],
  ['linux.resources.cpu.period', ({ linux }) => Object.assign(linux.resources.cpu as object, { period: 50_000 })],
];

test.for(contradictions)('a document that says otherwise of %s is contradicted', async ([field, change], { skip }) => {
  skip(isKata, unseen);
  await using session = await provider.createSession(tight);
  const { spec, pid } = await look(session);
  change(spec);
  // An ordinary user would have lost its capabilities too.
  const more = field === 'process.user.uid' ? sets : [];
  expect(listFailed(await verifyProcess(spec, pid))).toEqual([field, ...more]);
});

test('a filter that is not there is missed', async ({ skip }) => {
  skip(isKata, unseen);
  await using session = await provider.createSession({ seccomp: 'unconfined' });
  const filtered = await provider.createSession();
  onTestFinished(() => filtered.destroy());
  const { pid } = await look(session);
  const { spec } = await look(filtered);
  expect(listFailed(await verifyProcess(spec, pid))).toEqual(
    expect.arrayContaining(['linux.seccomp', 'linux.seccomp.filters']),
  );
});

test('a command inside has what the session has', async ({ skip }) => {
  skip(isKata, unseen);
  await using session = await provider.createSession({ ...tight, user: 'agent' });
  const { spec } = await look(session);
  await using execution = await session.spawn('sleep', ['1000']);
  // A command's namespaces are told from those of the shim, which is not above a supervisor's.
  const failed = listFailed(await verifyProcess(spec, execution.pid, 'sleep'));
  expect(failed.filter((field) => EXECUTOR === 'task' || !field.startsWith('linux.namespaces.'))).toEqual([]);
  await using root = await session.spawn('sleep', ['1000'], { user: '0' });
  expect(listFailed(await verifyProcess(spec, root.pid, 'sleep'))).toEqual(
    expect.arrayContaining(['process.user.uid', 'process.user.gid']),
  );
});

test('any process may ask, also of a paused session and of one that was started again', async () => {
  await using session = await provider.createSession(tight);
  const other = await (await openProvider()).connect(session.sessionId);
  await session.pause();
  expectSound(await other.verify());
  await session.resume();
  await session.stop();
  await expect(other.verify()).rejects.toMatchObject({
    code: 'failed-precondition',
    message: expect.stringMatching(/is stopped/),
  });
  await session.start();
  expectSound(await other.verify());
  await session.destroy();
  await expect(other.verify()).rejects.toMatchObject({ code: 'destroyed' });
});

test('what runs in a guest cannot be read from here, and is never ok', async () => {
  await using session = await provider.createSession(tight);
  const { spec } = await look(session);
  // A hypervisor is a process of the host, as this one is.
  const { ok, checks } = await verifyProcess(spec, process.pid);
  expect(ok).toBe(false);
  expect(checks.every((each) => !each.ok && each.observed === undefined && /unreadable/.test(each.source))).toBe(true);
});
