import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ContainerdProvider } from '../../src/index.js';
import type { Session } from '../../src/session/session.js';
import { context } from '../support/context.js';
import { observe, settle } from '../support/leaks.js';
import { openProvider } from '../support/provider.js';

const provider = await openProvider();
const before = await observe(context);

/** Rejects with all of it, and nothing was created. */
async function expectRefusal(creating: Promise<unknown>, expected: object): Promise<void> {
  await expect(creating).rejects.toMatchObject(expected);
  expect(await observe(context)).toEqual(before);
}

const fault = (path: string, value: unknown) => ({ faults: [expect.objectContaining({ path, value })] });

describe('createSession refuses, before anything is created,', () => {
  test.each([
    ['an image reference of the wrong form', { image: 'docker.io/UPPER' }, 'invalid-argument', 'docker.io/UPPER'],
    ['an image that is not there', { image: 'absent:1' }, 'not-found', 'docker.io/library/absent:1'],
  ])('%s', async (_, options, code, text) => {
    await expectRefusal(provider.createSession(options), { code, message: expect.stringContaining(text) });
  });

  test.each([
    ['negative memory', { resources: { memoryMb: -1 } }, 'resources.memoryMb', -1],
    ['no cpus', { resources: { cpus: 0 } }, 'resources.cpus', 0],
    ['an environment key with =', { env: { 'A=B': 'x' } }, 'env', undefined],
    ['an environment value with NUL', { env: { A: 'x\0y' } }, 'env', undefined],
    ['a name of the wrong form', { name: 'a b' }, 'name', 'a b'],
    ['no time to live', { ttlMs: 0 }, 'ttlMs', 0],
    ['an empty command', { command: [] }, 'command', []],
  ])('%s', async (_, options, path, value) => {
    await expectRefusal(provider.createSession(options as never), {
      code: 'invalid-argument',
      faults: [
        expect.objectContaining(value === undefined ? { path: expect.stringMatching(`^${path}`) } : { path, value }),
      ],
    });
  });

  test('every unknown field, by name, with what was meant', async () => {
    await expectRefusal(provider.createSession({ memroyMb: 1, resources: { pidLimit: 5 } } as never), {
      name: 'CapabilityMismatchError',
      code: 'capability-mismatch',
      mismatchedAttributes: ['memroyMb', 'resources.pidLimit'],
      unsupportedPolicies: ['memroyMb', 'resources.pidLimit'],
      message: expect.stringContaining('did you mean pidsLimit'),
    });
  });

  test('what it cannot honour yet, by name', async () => {
    await expectRefusal(
      provider.createSession({ healthCheck: { test: ['true'] }, secrets: [{ name: 'a', value: 'hidden-value' }] }),
      {
        name: 'CapabilityMismatchError',
        providerName: 'containerd',
        mismatchedAttributes: ['healthCheck'],
        message: expect.not.stringContaining('hidden-value'),
      },
    );
  });
});

describe('exec refuses, before anything is started,', () => {
  let session: Session;
  beforeAll(async () => {
    session = await provider.createSession();
  });
  afterAll(() => session.destroy());

  test.each([
    ['a relative cwd', { cwd: 'tmp' }, 'cwd', 'tmp'],
    ['a cwd that is not clean', { cwd: '/tmp/../etc' }, 'cwd', '/tmp/../etc'],
    ['a cwd through descriptors (CVE-2024-21626)', { cwd: '/proc/self/fd/7' }, 'cwd', '/proc/self/fd/7'],
    ['no timeout', { timeoutMs: 0 }, 'timeoutMs', 0],
    ['an unknown key', { timeout: 5 }, 'timeout', 5],
  ])('%s', async (_, options, path, value) => {
    await expect(session.exec('true', [], options as never)).rejects.toMatchObject({
      code: 'invalid-argument',
      ...fault(path, value),
    });
  });

  test.each([
    ['= in an environment key', { env: { 'A=B': 'x' } }],
    ['an empty environment key', { env: { '': 'x' } }],
    ['NUL in an environment value', { env: { A: 'x\0y' } }],
    ['an environment value of more than 128 KiB', { env: { A: 'x'.repeat(131_072) } }],
  ])('%s', async (_, options) => {
    await expect(session.exec('true', [], options)).rejects.toMatchObject({
      code: 'invalid-argument',
      faults: [expect.objectContaining({ path: expect.stringMatching(/^env/) })],
    });
  });

  test('NUL in an argument', async () => {
    await expect(session.exec('echo', ['a\0b'])).rejects.toMatchObject({ code: 'invalid-argument' });
  });
});

describe('a provider refuses', () => {
  test.each([
    ['a relative address', { address: 'run/x.sock' }, 'address'],
    ['an empty image', { image: '' }, 'image'],
    ['a namespace of the wrong form', { namespace: 'a/b' }, 'namespace'],
    ['an unknown option', { adress: '/x' }, 'adress'],
  ])('%s', (_, options, path) => {
    expect(() => new ContainerdProvider({ image: 'x', ...options })).toThrow(
      expect.objectContaining({ code: 'invalid-argument', faults: [expect.objectContaining({ path })] }),
    );
  });

  test('a socket where nobody listens, naming it', async () => {
    const absent = new ContainerdProvider({ image: 'x', address: '/nowhere/c.sock' });
    await expect(absent.createSession()).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('no containerd answers at /nowhere/c.sock'),
    });
    expect(await absent.healthCheck()).toMatchObject({
      healthy: false,
      message: expect.stringContaining('/nowhere/c.sock'),
    });
  });
});

test('a limit that only the kernel can refuse is named, and nothing is left', async () => {
  // Above fs.nr_open, which bounds even root (proc(5)).
  const ulimits = [{ type: 'nofile', soft: 1024, hard: 2 ** 40 }];
  await expect(provider.createSession({ resources: { ulimits } })).rejects.toMatchObject({
    code: 'failed-precondition',
    message: expect.stringContaining('the hard limit of nofile in resources.ulimits'),
  });
  expect(await settle(context, before)).toEqual(before);
});
