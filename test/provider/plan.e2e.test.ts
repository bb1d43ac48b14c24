import { describe, expect, test } from 'vitest';
import { unpackJson } from '../../src/rpc/any.js';
import { Channel } from '../../src/rpc/channel.js';
import { findRecord } from '../../src/session/find.js';
import { context } from '../support/context.js';
import { observe, settle } from '../support/leaks.js';
import { openProvider } from '../support/provider.js';

const provider = await openProvider({ hostEnv: { CI: 'planted-host', HOME: '/root' } });
const channel = new Channel(context);

const policy = {
  name: 'planned',
  user: 'agent',
  readOnlyRootfs: true,
  env: { MODE: 'planted-env' },
  envAllowlist: ['CI'],
  resources: { memoryMb: 64, cpus: 0.5 },
  mounts: [{ path: '/scratch', type: 'tmpfs' as const, readOnly: false }],
  capabilities: { drop: ['ALL'] },
};

test('the document is the one that a session then has; planning leaves nothing', async () => {
  const before = await observe(context);
  const { spec, runtime, mismatched, score, findings } = await provider.plan(policy);
  expect(await settle(context, before)).toEqual(before);
  expect({ runtime, mismatched, score, findings }).toEqual({
    runtime: 'io.containerd.runc.v2',
    mismatched: [],
    score: 100,
    findings: [],
  });
  await using session = await provider.createSession(policy);
  const { container } = await findRecord(channel, session.sessionId);
  const real = unpackJson(container.spec as never) as { process: { env: string[] } };
  const shown = real.process.env.map((entry) => entry.replace(/^(CI|MODE)=.*/, '$1=[redacted]'));
  expect(shown).not.toEqual(real.process.env);
  expect(spec).toEqual({ ...real, process: { ...real.process, env: shown } });
  expect(spec).toMatchObject({ process: { user: { uid: 1000, gid: 1000, additionalGids: [2000] } } });
});

describe('what cannot be honoured is told, not thrown', () => {
  test('all of it, each with what would be accepted; then there is no document', async () => {
    const plan = await provider.plan({ ...policy, apparmor: 'cadre', networkMode: 'full', runtime: 'wasm' });
    expect(plan.spec).toBeUndefined();
    expect(plan.runtime).toBe('wasm');
    expect(plan.mismatched).toEqual(expect.arrayContaining(['runtime']));
    expect(plan.mismatches.map(({ path }) => path)).toEqual(plan.mismatched);
    expect(plan.mismatches.every(({ expected }) => expected.length > 5)).toBe(true);
    await expect(provider.createSession({ ...policy, runtime: 'wasm' })).rejects.toThrow(/runtime/);
  });

  test('fields that nobody knows, of which nothing can be judged', async () => {
    const plan = await provider.plan({ readOnlyRoot: true } as object);
    expect(plan).toMatchObject({ spec: undefined, mismatched: ['readOnlyRoot'], score: 0, findings: [] });
    expect(plan.mismatches[0]).toMatchObject({ suggestion: 'readOnlyRootfs' });
  });
});

test('what makes no sense is thrown, as is the want of an image', async () => {
  await expect(provider.plan({ resources: { pidsLimit: 0 } })).rejects.toMatchObject({ code: 'invalid-argument' });
  await expect(provider.plan({ mounts: [{ path: '/no/such', readOnly: true }] })).rejects.toMatchObject({
    code: 'invalid-argument',
  });
  await expect(provider.plan({ image: 'registry.test/nothing:1' })).rejects.toMatchObject({
    code: 'not-found',
    message: expect.stringMatching(/import it/),
  });
});

test('weaknesses are found, by rule', async () => {
  const { score, findings } = await provider.plan({ seccomp: 'unconfined', capabilities: { add: ['SYS_ADMIN'] } });
  expect(score).toBe(100 - findings.reduce((sum, { weight }) => sum + weight, 0));
  expect(findings.map(({ rule }) => rule)).toEqual([
    'host-capability',
    'seccomp-unconfined',
    'root-user',
    'no-memory-limit',
    'writable-root',
    'no-cpu-limit',
  ]);
});

test('no value of a secret, of the host or of the session is in it', async () => {
  const secrets = [
    { name: 'FILE', value: 'planted-file' },
    { name: 'VARIABLE', value: 'planted-variable', as: 'env' as const },
  ];
  const plan = await provider.plan({ ...policy, secrets, command: ['sh', '-c', 'curl -H planted-variable'] });
  expect(plan.findings.map(({ rule }) => rule)).toEqual(['secret-in-env']);
  expect(JSON.stringify(plan)).toContain('VARIABLE');
  expect(JSON.stringify(plan)).not.toContain('planted');
  const refused = await provider.plan({ ...policy, secrets, unknown: 'planted-unknown' } as object);
  expect(JSON.stringify(refused)).not.toContain('planted');
});
