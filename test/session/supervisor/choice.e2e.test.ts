import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { ContainersService } from '../../../src/generated/github.com/containerd/containerd/api/services/containers/v1/containers.js';
import { packJson } from '../../../src/rpc/any.js';
import { Channel } from '../../../src/rpc/channel.js';
import { readSpec } from '../../../src/session/find.js';
import { SPEC_TYPE } from '../../../src/session/record.js';
import type { Session } from '../../../src/session/session.js';
import { INIT_PATH } from '../../../src/spec/mounts.js';
import { findContainerd } from '../../support/containerd-binary.js';
import { context } from '../../support/context.js';
import { openProvider } from '../../support/provider.js';

const provider = await openProvider({ executor: 'auto' });
const channel = new Channel(context);
afterAll(() => channel.close());

function ctr(...args: string[]): string {
  const { address, namespace, generation } = context;
  const program = join(findContainerd(generation).directory, 'ctr');
  return execFileSync(program, ['-a', address, '-n', namespace, ...args], { encoding: 'utf8' });
}

/** What containerd starts has no parent that the session could see. */
async function isFromOutside(session: Session): Promise<boolean> {
  return (await session.exec('grep', ['^PPid:', '/proc/self/status'])).stdout === 'PPid:\t0\n';
}

test('auto is the supervisor, in a fork too, and info says so', async () => {
  await using session = await provider.createSession();
  expect(await session.info()).toMatchObject({ executor: 'supervisor' });
  const forks = await session.fork();
  await using fork = forks[0] as Session;
  expect(await fork.info()).toMatchObject({ executor: 'supervisor' });
  expect(await isFromOutside(fork)).toBe(false);
});

test.each([
  ['what is asked for by name', { executor: 'task' as const }],
  ['a policy that lets root inside look into any process', { capabilities: { add: ['SYS_PTRACE'] } }],
])('%s is left to containerd, in a fork too', async (_what, options) => {
  await using session = await provider.createSession(options);
  expect(await session.info()).toMatchObject({ executor: 'task' });
  const forks = await session.fork();
  await using fork = forks[0] as Session;
  expect(await fork.info()).toMatchObject({ executor: 'task' });
  expect(await isFromOutside(fork)).toBe(true);
});

test('what a session was created with holds for whoever connects', async () => {
  const tasks = await openProvider({ executor: 'task' });
  await using theirs = await tasks.createSession();
  const ours = await provider.connect(theirs.sessionId);
  expect(await ours.info()).toMatchObject({ executor: 'task' });
  expect(await isFromOutside(ours)).toBe(true);
  await using own = await provider.createSession();
  expect(await isFromOutside(await tasks.connect(own.sessionId))).toBe(false);
});

test('ctr sees the session, executes in it and kills it', async () => {
  await using session = await provider.createSession();
  const { sessionId } = session;
  expect(ctr('tasks', 'ls')).toMatch(new RegExp(`^${sessionId} +\\d+ +RUNNING`, 'm'));
  // What it does and not what it says: on a busy machine ctr may leave before it has read the output.
  ctr('tasks', 'exec', '--exec-id', 'own', sessionId, 'touch', '/tmp/through');
  expect((await session.exec('ls', ['/tmp'])).stdout).toBe('through\n');
  ctr('tasks', 'kill', '-s', 'SIGKILL', sessionId);
  await expect.poll(() => session.info()).toMatchObject({ state: 'stopped', exitCode: 137 });
});

test('a session that was to have a supervisor beside an input does not move to a guest, and says why', async () => {
  await using session = await provider.createSession({
    executor: 'supervisor',
    command: ['sleep', '1000'],
    stdin: true,
  });
  await session.stop({ timeoutMs: 0 });
  await expect(session.start({ runtime: 'kata' })).rejects.toMatchObject({
    code: 'capability-mismatch',
    mismatchedAttributes: ['executor'],
  });
  await session.start();
  expect((await session.exec('echo', ['here'])).stdout).toBe('here\n');
});

test('a stopped session whose package is at another place by now starts with the supervisor that is there', async () => {
  await using session = await provider.createSession();
  await session.exec('sh', ['-c', 'echo kept >/f']);
  await session.stop({ timeoutMs: 0 });
  const { container } = await channel.unary(ContainersService.get, { id: session.sessionId });
  if (container === undefined) throw new Error('no container');
  const spec = readSpec(container);
  const move = (source: string) => (source.includes('/native/bin/') ? '/gone/supervisor' : source);
  const mounts = spec.mounts.map((mount) => ({ ...mount, source: move(mount.source) }));
  expect(mounts.find(({ destination }) => destination === INIT_PATH)).toMatchObject({ source: '/gone/supervisor' });
  const moved = { ...container, spec: packJson(SPEC_TYPE, { ...spec, mounts }) };
  await channel.unary(ContainersService.update, { container: moved, updateMask: ['spec'] });
  await session.start();
  expect(await session.exec('cat', ['/f'])).toMatchObject({ stdout: 'kept\n' });
  expect(await session.info()).toMatchObject({ state: 'running', executor: 'supervisor' });
});
