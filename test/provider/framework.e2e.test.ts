import { expect, test } from 'vitest';
import { CapabilityMismatchError, ContainerdKataAdapter } from '../../src/index.js';
import { context } from '../support/context.js';
import { observe, settle } from '../support/leaks.js';
import { openProvider } from '../support/provider.js';
import type { IsolationProvider, KataAdapter, MismatchError, SessionsById } from './framework.js';

// The annotations are the test of the shapes: the compiler refuses what is not assignable without a cast.

const opened = await openProvider();
const provider: IsolationProvider = opened;
const byId: SessionsById = opened;
const adapter: KataAdapter = new ContainerdKataAdapter(opened);
const limits = 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null';

test('a provider of the framework: capabilities, a session of a canonical policy, its end', async () => {
  const before = await observe(context);
  expect(provider.capabilities()).toMatchObject({ resources: true, networkModes: expect.arrayContaining(['none']) });
  expect(await provider.healthCheck?.()).toMatchObject({ healthy: true });
  const session = await provider.createSession({ networkMode: 'none', resources: { memoryMb: 64 } });
  expect(await session.exec('sh', ['-c', limits])).toMatchObject({ stdout: `${64 * 1024 * 1024}\n` });
  await session.destroy();
  expect(await settle(context, before)).toEqual(before);
});

test('its error, with both spellings', async () => {
  const refused = await provider.createSession({ unheardOf: 1 } as object).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(CapabilityMismatchError);
  const error: MismatchError = refused as CapabilityMismatchError;
  expect(error).toMatchObject({ providerName: 'containerd', mismatchedAttributes: ['unheardOf'] });
  expect(error.unsupportedPolicies).toEqual(error.mismatchedAttributes);
});

test('sessions by their ids: of this process and of any other, stopped, destroyed twice', async () => {
  const before = await observe(context);
  const id = await byId.startSession({ memory: 64 * 1024 * 1024, cpu: 1, networkIsolation: true });
  expect(await byId.exec(id, ['sh', '-c', limits])).toMatchObject({ stdout: `${64 * 1024 * 1024}\n` });
  const elsewhere: SessionsById = await openProvider();
  expect(await elsewhere.exec(id, ['sh', '-c', 'exit 3'])).toMatchObject({ exitCode: 3 });
  await expect(byId.exec(id, [])).rejects.toMatchObject({ code: 'invalid-argument', faults: [{ path: 'command' }] });
  await expect(byId.exec('absent', ['true'])).rejects.toMatchObject({ code: 'not-found' });
  await byId.stopSession(id);
  await expect(byId.exec(id, ['true'])).rejects.toMatchObject({ code: 'failed-precondition' });
  await elsewhere.destroySession(id);
  await byId.destroySession(id);
  await byId.destroySession(id);
  expect(await settle(context, before)).toEqual(before);
});

test('the adapter of the older Kata provider runs real sandboxes', async () => {
  const before = await observe(context);
  // No Kata is needed to show what is done with each option.
  const options = { runtime: 'runc', networkIsolation: true, readOnlyRootfs: true };
  await expect(adapter.createSandbox('box', { ...options, cpuQuota: 2 })).rejects.toMatchObject({
    code: 'invalid-argument',
    faults: [{ path: 'cpuQuota', value: 2 }],
  });
  await expect(adapter.createSandbox('box', { ...options, annotations: { a: 'b' } })).rejects.toMatchObject({
    mismatchedAttributes: ['annotations["a"]'],
  });
  await adapter.createSandbox('box', { ...options, memoryLimitBytes: 64 * 1024 * 1024, cpuQuota: 50_000 });
  const quota = 'cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max 2>/dev/null';
  const { stdout } = await adapter.execInSandbox('box', ['sh', '-c', `${limits}; ${quota}`]);
  expect(stdout).toMatch(new RegExp(`^${64 * 1024 * 1024}\n50000\\b`));
  expect((await adapter.execInSandbox('box', ['touch', '/file'])).exitCode).toBe(1);
  const elsewhere: KataAdapter = new ContainerdKataAdapter(await openProvider());
  expect((await elsewhere.execInSandbox('box', ['true'])).exitCode).toBe(0);
  await adapter.stopSandbox('box');
  await adapter.destroySandbox('box');
  await adapter.destroySandbox('box');
  expect(await adapter.healthCheck?.()).toMatchObject({ healthy: true });
  expect(await settle(context, before)).toEqual(before);
});
