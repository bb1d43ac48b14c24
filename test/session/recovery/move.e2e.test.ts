/** Moves between runtimes whose process comes to its end at each of their steps. */

import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { ContainersService } from '../../../src/generated/github.com/containerd/containerd/api/services/containers/v1/containers.js';
import { ContainerdProvider } from '../../../src/index.js';
import { collectGarbage, observeApi } from '../../support/api-state.js';
import { onlyOn } from '../../support/context.js';
import { makeKataHost, RECORDING_SHIM } from '../../support/kata-host.js';
import { relax } from '../../support/patience.js';
import { openPrivateHost } from './private.js';
import { Worker } from './worker.js';

const { daemon, scope, options, channel, reap, reapAll } = await openPrivateHost({ path: [RECORDING_SHIM] });
const detector = { hostRoot: makeKataHost(join(daemon.root, 'kata-host')) };
const provider = new ContainerdProvider(options, detector);
afterAll(() => provider[Symbol.asyncDispose]());

const RUNC = 'io.containerd.runc.v2';
const KATA = 'io.containerd.kata.v2';

/** What a move does, and whether the session is another's before it. */
const steps = {
  'Containers/Create 1': false,
  'Containers/Delete 1': false,
  'Containers/Create 2': false,
  'Containers/Delete 2': true,
  'Tasks/Create 1': true,
  'Tasks/Start 1': true,
};

async function listIds() {
  const ids: string[] = [];
  for await (const { sessionId } of provider.list()) ids.push(sessionId);
  return ids;
}

onlyOn(['2.1'], 'a process for each step; the code path is the same everywhere')('a process that ends', () => {
  test('at any step of a move leaves the session whole, on one of the two', { timeout: relax(300_000) }, async () => {
    const before = await observeApi(scope);
    const session = await provider.createSession();
    const { sessionId: id } = session;
    await session.exec('sh', ['-c', 'echo kept >/f']);
    await session.stop({ timeoutMs: 100 });
    let next = new Worker(options, detector);
    const move = async (runtime: string, dieAt?: string) => {
      const worker = next;
      next = new Worker(options, detector);
      await worker.tell('connect', id);
      const calls = await worker.tell('move', id, runtime, dieAt).catch(() => undefined);
      await (calls === undefined ? worker.ended() : worker.kill());
      return calls;
    };
    const calls = (await move(KATA)) ?? [];
    expect(calls.filter((call) => /^(Containers|Tasks)\/(Create|Delete|Start)/.test(call))).toEqual([
      'Tasks/Delete 1',
      ...Object.keys(steps),
    ]);
    for (const [i, [step, isMoved]] of Object.entries(steps).entries()) {
      await session.stop({ timeoutMs: 100 });
      const { runtime: from } = await session.info();
      const to = from === KATA ? RUNC : KATA;
      expect(await move(to, step)).toBeUndefined();
      // What nothing holds is gone now.
      await collectGarbage(scope);
      expect(await listIds()).toEqual([id]);
      if (i % 2 === 0) expect((await reap()).failures).toEqual([]);
      const { state, runtime } = await session.info();
      expect({ step, runtime }).toEqual({ step, runtime: isMoved ? to : from });
      if (state === 'created') await session.kill();
      await session.start();
      expect(await session.exec('cat', ['/f'])).toMatchObject({ stdout: 'kept\n' });
    }
    await next.kill();
    await session.destroy();
    await reapAll();
    await collectGarbage(scope);
    expect(await observeApi(scope)).toEqual(before);
  });
});

test('a handle of a session that another process moved knows what it runs on', async () => {
  await using session = await provider.createSession();
  await using other = await provider.connect(session.sessionId);
  await session.stop({ timeoutMs: 100 });
  await session.start({ runtime: 'kata' });
  expect((await other.exec('sleep', ['1000'], { timeoutMs: relax(200) })).kill).toMatchObject({ verified: false });
  expect(other.runtime).toBe(KATA);
  expect(await other.info()).toMatchObject({ executor: 'task' });
  expect(await other.kill()).toMatchObject({ verified: false });
  await other.start();
  expect((await other.info()).runtime).toBe(KATA);
  await other.stop({ timeoutMs: 100 });
  await other.start({ runtime: 'runc' });
  expect((await session.exec('sleep', ['1000'], { timeoutMs: relax(200) })).kill).toMatchObject({ verified: true });
  expect(session.runtime).toBe(RUNC);
  expect(await session.info()).toMatchObject({ executor: 'supervisor' });
});

test('a record of no form that is known here is left alone and told of; the others are not held up', async () => {
  const before = await observeApi(scope);
  const odd = await provider.createSession();
  await using kept = await provider.createSession();
  await using worker = new Worker(options);
  const lost = await worker.tell('create', {});
  const { container } = await channel.unary(ContainersService.get, { id: odd.sessionId });
  if (container === undefined) throw new Error('no container');
  const change = (typeUrl: string) => {
    const [[name, { value }] = ['', { value: Buffer.alloc(0) }]] = Object.entries(container.extensions);
    const changed = { ...container, extensions: { [name]: { typeUrl, value } } };
    return channel.unary(ContainersService.update, { container: changed, updateMask: ['extensions'] });
  };
  await change('cadre.dev/session/v9');
  await worker.kill();
  const warned = new Promise<Error>((resolve) => process.once('warning', resolve));
  expect(await listIds()).toEqual(expect.arrayContaining([kept.sessionId]));
  expect(await listIds()).not.toContain(odd.sessionId);
  expect((await warned).message).toContain(`session ${odd.sessionId} is left out of the list`);
  const error = expect.objectContaining({
    code: 'data-loss',
    message: expect.stringContaining('cadre.dev/session/v9'),
  });
  expect(await reap()).toMatchObject({
    sessions: [lost],
    failures: [{ what: `session ${odd.sessionId}`, error }],
  });
  await expect(provider.connect(odd.sessionId)).rejects.toMatchObject({ code: 'data-loss' });
  await expect(provider.volumes.remove('any')).rejects.toMatchObject({ code: 'data-loss' });
  await change('cadre.dev/session/v1');
  expect(await odd.exec('echo', ['whole'])).toMatchObject({ stdout: 'whole\n' });
  await odd.destroy();
  await kept.destroy();
  await reapAll();
  await collectGarbage(scope);
  expect(await observeApi(scope)).toEqual(before);
});
