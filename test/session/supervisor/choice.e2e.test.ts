import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Session } from '../../../src/session/session.js';
import { findContainerd } from '../../support/containerd-binary.js';
import { context } from '../../support/context.js';
import { openProvider } from '../../support/provider.js';

const provider = await openProvider({ executor: 'auto' });

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

test('a session that was to have a supervisor does not move to a guest, and says why', async () => {
  await using session = await provider.createSession({ executor: 'supervisor' });
  await session.stop({ timeoutMs: 0 });
  await expect(session.start({ runtime: 'kata' })).rejects.toMatchObject({
    code: 'capability-mismatch',
    mismatchedAttributes: ['executor'],
  });
  await session.start();
  expect((await session.exec('echo', ['here'])).stdout).toBe('here\n');
});
