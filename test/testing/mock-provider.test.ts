import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import * as library from '../../src/index.js';
import { MockProvider } from '../../src/testing/index.js';
import type { IsolationProvider, SessionsById } from '../provider/framework.js';

test('it says what it is, and is no default of anything', async () => {
  const provider = new MockProvider();
  expect(provider.name).toBe('mock');
  expect(await provider.healthCheck()).toMatchObject({
    healthy: true,
    message: expect.stringMatching(/nothing is isolated/),
    details: { mock: true },
  });
  expect(Object.keys(library).filter((name) => /mock/i.test(name))).toEqual([]);
  expect(() => library.loadProvider({ provider: 'mock' } as never)).toThrow(/provider/);
});

test('it is a provider of the framework, in its types and by what is done with it', async () => {
  const mock = new MockProvider().answer('git', ['--version'], { stdout: 'git version 2.47\n' });
  const provider: IsolationProvider = mock;
  const byId: SessionsById = mock;
  const session = await provider.createSession({ networkMode: 'none', resources: { memoryMb: 64 } });
  expect(await session.exec('git', ['--version'], { cwd: '/src' })).toMatchObject({
    exitCode: 0,
    stdout: 'git version 2.47\n',
  });
  expect(mock.calls).toEqual([
    { sessionId: session.sessionId, command: 'git', args: ['--version'], options: { cwd: '/src' } },
  ]);
  await session.destroy();
  await session.destroy();
  await expect(session.exec('git', ['--version'])).rejects.toThrow(/destroyed/);
  const id = await byId.startSession({ memory: 64 * 1024 * 1024, networkIsolation: true });
  expect(await byId.exec(id, ['git', '--version'])).toMatchObject({ exitCode: 0 });
  await byId.stopSession(id);
  await expect(byId.exec(id, ['git', '--version'])).rejects.toMatchObject({ code: 'failed-precondition' });
  await byId.destroySession(id);
  await byId.destroySession(id);
  expect(mock.sessions).toEqual([]);
});

describe('what the real provider refuses is refused', () => {
  test.each<[what: string, given: object, expected: object]>([
    ['an unknown field', { memroyMb: 1 }, { code: 'capability-mismatch', mismatchedAttributes: ['memroyMb'] }],
    ['a wrong value', { resources: { pidsLimit: 0 } }, { code: 'invalid-argument' }],
    [
      'what nothing enforces',
      { resources: { diskMb: 1 } },
      { providerName: 'mock', mismatchedAttributes: ['resources.diskMb'] },
    ],
    [
      'what its runtime drops',
      { runtime: 'kata', resources: { pidsLimit: 9 } },
      { mismatchedAttributes: ['resources.pidsLimit'] },
    ],
    ['a runtime that none is called', { runtime: 'wasm' }, { mismatchedAttributes: ['runtime'] }],
  ])('%s', async (_, given, expected) => {
    await expect(new MockProvider().createSession(given)).rejects.toMatchObject(expected);
  });

  test('what its place lacks', async () => {
    const provider = new MockProvider({ place: { seccomp: false } });
    expect(provider.capabilities().unsupported).toHaveProperty(['seccomp.default']);
    await expect(provider.createSession()).rejects.toMatchObject({ mismatchedAttributes: ['seccomp'] });
  });

  test('options of an exec that make no sense, and a name that is taken', async () => {
    const provider = new MockProvider().answer(() => ({}));
    const session = await provider.createSession({ name: 'one' });
    await expect(session.exec('true', [], { timeout: 5 } as never)).rejects.toThrow(/did you mean timeoutMs/);
    await expect(provider.createSession({ name: 'one' })).rejects.toMatchObject({ code: 'already-exists' });
    expect(await provider.connect('one')).toBe(session);
    await expect(provider.connect('two')).rejects.toMatchObject({ code: 'not-found' });
    await expect(provider.exec(session.sessionId, [])).rejects.toMatchObject({ code: 'invalid-argument' });
  });

  test('what a test wants to be refused', async () => {
    const onCreate = () => {
      throw new library.DriverError('unavailable', 'containerd is away');
    };
    const provider = new MockProvider({ onCreate, healthy: false });
    await expect(provider.createSession()).rejects.toMatchObject({ code: 'unavailable' });
    expect(provider.sessions).toEqual([]);
    expect((await provider.healthCheck()).healthy).toBe(false);
  });
});

describe('a command', () => {
  test('does what was scripted last: by its arguments, by its name, by a function', async () => {
    const provider = new MockProvider()
      .answer(({ command }) => (command === 'env' ? { stdout: 'A=1\n' } : undefined))
      .answer('make', { exitCode: 2, stderr: 'no rule\n' })
      .answer('make', ['all'], { stdout: 'done\n' });
    const session = await provider.createSession();
    const heard: string[] = [];
    const onStderr = (chunk: string) => heard.push(chunk);
    expect(await session.exec('make', ['all'])).toMatchObject({ exitCode: 0, stdout: 'done\n' });
    expect(await session.exec('make', ['test'], { onStderr })).toMatchObject({ exitCode: 2, stderr: 'no rule\n' });
    expect(heard).toEqual(['no rule\n']);
    expect((await session.exec('env')).stdout).toBe('A=1\n');
    await expect(session.exec('rm')).rejects.toMatchObject({
      code: 'unimplemented',
      message: expect.stringMatching(/no answer to \["rm"\]/),
    });
  });

  test('that does not end is ended by its timeout, by the policy, by an abort', async () => {
    const provider = new MockProvider().answer(() => new Promise(() => undefined));
    const session = await provider.createSession({ resources: { timeoutMs: 20 } });
    expect(await session.exec('sleep')).toMatchObject({ exitCode: 124, timedOut: true });
    expect(await session.exec('sleep', [], { timeoutMs: 5 })).toMatchObject({ exitCode: 124, timedOut: true });
    const signal = AbortSignal.timeout(5);
    const canceled = await session.exec('sleep', [], { signal, timeoutMs: 10_000 });
    expect(canceled).toMatchObject({ exitCode: 137, isCanceled: true });
    expect(canceled.timedOut).toBeUndefined();
    await expect(session.exec('sleep', [], { signal })).rejects.toMatchObject({ code: 'canceled' });
  });

  test('whose session is destroyed meanwhile rejects', async () => {
    const provider = new MockProvider();
    const session = await provider.createSession();
    provider.answer(async () => {
      await session.destroy();
      return {};
    });
    await expect(session.exec('true')).rejects.toMatchObject({ code: 'destroyed' });
  });
});

test('the package has it as an entry point of its own', () => {
  const program = `import { MockProvider } from '@cadre-dev/runtime-provider-containerd/testing';
    console.log(new MockProvider().name);`;
  const options = { cwd: resolve('.'), encoding: 'utf8' } as const;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], options);
  expect({ stdout, stderr }).toEqual({ stdout: 'mock\n', stderr: '' });
});
