import { describe, expect, test } from 'vitest';
import { findShims } from '../../../src/session/leftovers.js';
import type { Session } from '../../../src/session/session.js';
import { readTask } from '../../../src/session/task.js';
import { context } from '../../support/context.js';
import { observe, settle } from '../../support/leaks.js';
import { relax } from '../../support/patience.js';
import { openPrivateHost } from './private.js';

const { daemon, scope, provider, channel } = await openPrivateHost();

const killInit = (_: Session, pid: number) => process.kill(pid, 'SIGKILL');
const killShim = (session: Session) => {
  const shim = findShims(scope.address, scope.namespace, 0).find(({ id }) => id === session.sessionId);
  process.kill(shim?.pid as number, 'SIGKILL');
};

describe.each([
  ['its init is killed', killInit, false],
  ['its init is killed while containerd is down', killInit, true],
  ['its shim is killed', killShim, false],
  ['its shim is killed while containerd is down', killShim, true],
] as const)('a session when %s', (_, end, isDown) => {
  // 1.6 asks the shim for what it has missed; the others take it for lost. A dead shim can tell nobody.
  const isKnown = end === killInit && (!isDown || context.generation === '1.6');

  test('is stopped with a code that is known or absent, and can be removed without a trace', async () => {
    const before = await observe(scope);
    const session = await provider.createSession();
    // The kernel ends with a supervisor all that it ever started (pid_namespaces(7)), whoever can tell it.
    const isTold = (await session.info()).executor === 'supervisor';
    const execution = await session.spawn('sh', ['-c', 'echo begun; sleep 1000']);
    const result = execution.result();
    result.catch(() => undefined);
    const { pid } = await readTask(channel, session.sessionId);
    if (isDown) await daemon.kill9();
    end(session, pid);
    if (isDown) await daemon.restart();

    await expect.poll(async () => (await session.info()).state, { timeout: relax(10_000) }).toBe('stopped');
    const { exitCode } = await session.info();
    expect(exitCode).toBe(isKnown ? 137 : undefined);
    if (isKnown || isTold) expect(await result).toMatchObject({ exitCode: 137, signal: 'SIGKILL', stdout: 'begun\n' });
    else await expect(result).rejects.toMatchObject({ code: 'data-loss' });
    await expect(session.exec('true')).rejects.toMatchObject({
      code: 'failed-precondition',
      message: expect.stringMatching(/is stopped$/),
    });
    await session.destroy();
    expect(await settle({ ...scope, ids: [session.sessionId] }, before)).toEqual(before);
  });

  test('can be started again', async () => {
    await using session = await provider.createSession();
    await session.exec('sh', ['-c', 'echo kept > /root/file']);
    end(session, (await readTask(channel, session.sessionId)).pid);
    await expect.poll(async () => (await session.info()).state, { timeout: relax(10_000) }).toBe('stopped');
    await session.start();
    expect((await session.exec('cat', ['/root/file'])).stdout).toBe('kept\n');
  });
});
