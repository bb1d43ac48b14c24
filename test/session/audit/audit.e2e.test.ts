import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type AuditEvent, type AuditSink, JsonlAuditSink } from '../../../src/index.js';
import type { ProviderOptions } from '../../../src/provider/options.js';
import { context } from '../../support/context.js';
import { openProvider } from '../../support/provider.js';

class Memory implements AuditSink {
  readonly events: AuditEvent[] = [];
  failure: Error | undefined;

  async write(event: AuditEvent): Promise<void> {
    if (this.failure !== undefined) throw this.failure;
    this.events.push(event);
  }

  /** `exec begun`, of one session or of what came to none. */
  list(sessionId?: string): string[] {
    return this.events
      .filter((event) => event.sessionId === sessionId)
      .map(({ action, outcome }) => `${action} ${outcome}`);
  }
}

async function open(options: Partial<ProviderOptions> = {}) {
  const sink = new Memory();
  return { sink, provider: await openProvider({ audit: sink, actor: 'ci/42', ...options }) };
}

test('what happens to a session, from its creation to its end, with who asked and by which policy', async () => {
  const { sink, provider } = await open();
  const session = await provider.createSession({ command: ['sleep', '1000'], resources: { memoryMb: 64 } });
  const { sessionId } = session;
  await session.exec('sh', ['-c', 'exit 3'], { env: { KEY: 'planted-env' }, input: 'planted-input' });
  await expect(session.exec('no-such-program')).rejects.toMatchObject({ code: 'not-found' });
  await expect(session.exec('true', [], { cwd: 'here' })).rejects.toMatchObject({ code: 'invalid-argument' });
  await session.exec('sleep', ['100'], { timeoutMs: 50 });
  await session.update({ resources: { memoryMb: 128 } });
  await expect(session.update({ resources: { oomScoreAdj: 1 } })).rejects.toMatchObject({
    code: 'capability-mismatch',
  });
  await session.pause();
  await session.resume();
  await session.stop({ timeoutMs: 100 });
  await session.start();
  await expect(session.start()).rejects.toMatchObject({ code: 'failed-precondition' });
  await session.kill();
  await Promise.all([session.destroy(), session.destroy()]);
  await session.destroy();
  expect(sink.list(sessionId)).toEqual([
    'create begun',
    'create done',
    'exec begun',
    'exec done',
    'exec begun',
    'exec failed',
    'exec begun',
    'exec denied',
    'exec begun',
    'exec done',
    'kill done',
    'update begun',
    'update done',
    'update begun',
    'update denied',
    'pause begun',
    'pause done',
    'resume begun',
    'resume done',
    'stop done',
    'start begun',
    'start done',
    'start begun',
    'start failed',
    'kill done',
    'destroy done',
  ]);
  for (const event of sink.events) {
    expect(event).toMatchObject({
      uid: 0,
      pid: process.pid,
      actor: 'ci/42',
      operationId: expect.stringMatching(/^[0-9a-f]{16}$/),
    });
    expect(Math.abs(Date.now() - Date.parse(event.time))).toBeLessThan(60_000);
    expect(event.policyHash).toMatch(/^[0-9a-f]{64}$/);
  }
  const [create, , exec, done] = sink.events;
  expect(create?.command).toEqual(['sleep', '1000']);
  expect(exec?.command).toEqual(['sh', '-c', 'exit 3']);
  expect(done?.operationId).toBe(exec?.operationId);
  expect(sink.events.find(({ action }) => action === 'update')?.limits).toEqual({ memoryMb: 128 });
  expect(sink.events.find(({ execId }) => execId !== undefined)).toMatchObject({
    action: 'kill',
    killed: context.isKata ? [] : [expect.any(Number)],
  });
  expect(sink.events.find(({ outcome }) => outcome === 'denied')?.error).toMatchObject({
    code: 'invalid-argument',
    fields: ['cwd'],
  });
  expect(JSON.stringify(sink.events)).not.toContain('planted');
});

test('what is refused before there is a session', async () => {
  const { sink, provider } = await open();
  await expect(provider.createSession({ apparmour: 'x' } as object)).rejects.toThrow();
  await expect(provider.createSession({ resources: { pidsLimit: 0 } })).rejects.toThrow();
  await expect(provider.createSession({ mounts: [{ path: '/etc', readOnly: true }] })).rejects.toThrow();
  expect(sink.events.map(({ action, outcome, error }) => [action, outcome, error?.code, error?.fields])).toEqual([
    ['create', 'denied', 'capability-mismatch', ['apparmour']],
    ['create', 'denied', 'invalid-argument', ['resources.pidsLimit']],
    ['create', 'begun', undefined, undefined],
    ['create', 'denied', 'invalid-argument', ['mounts[0].path']],
  ]);
});

test('a session is connected to a network, disconnected from it, and a port of it is forwarded', async () => {
  const { sink, provider } = await open({ policy: { networkMode: 'full' } });
  await provider.networks.create('audited');
  const session = await provider.createSession();
  const { sessionId } = session;
  await provider.networks.connect('audited', sessionId);
  await provider.networks.disconnect('audited', sessionId);
  await expect(provider.networks.disconnect('audited', sessionId)).rejects.toMatchObject({ code: 'not-found' });
  await expect(session.forward({ targetPort: 0 })).rejects.toMatchObject({ code: 'invalid-argument' });
  await using forward = await session.forward({ targetPort: 80 });
  expect(forward.targetPort).toBe(80);
  await session.destroy();
  await provider.networks.remove('audited');
  const told = sink.events.slice(2, -1).map(({ action, outcome, network, port }) => [action, outcome, network ?? port]);
  expect(told).toEqual([
    ['connect', 'begun', 'audited'],
    ['connect', 'done', 'audited'],
    ['disconnect', 'begun', 'audited'],
    ['disconnect', 'done', 'audited'],
    ['disconnect', 'begun', 'audited'],
    ['disconnect', 'failed', 'audited'],
    ['forward', 'begun', 0],
    ['forward', 'denied', 0],
    ['forward', 'begun', 80],
    ['forward', 'done', 80],
  ]);
  const { policyHash } = sink.events[0] ?? {};
  for (const event of sink.events) expect(event).toMatchObject({ sessionId, policyHash });
});

test('a session is reaped', async () => {
  const { sink, provider } = await open();
  const session = await provider.createSession({ ttlMs: 1 });
  const reap = async () => {
    await provider.reap();
    return sink.list(session.sessionId);
  };
  await expect.poll(reap).toEqual(['create begun', 'create done', 'reap done']);
});

describe('secrets', () => {
  const secrets = [
    { name: 'FILE', value: 'planted-file' },
    { name: 'VARIABLE', value: 'planted-variable', as: 'env' as const },
  ];

  test('are in no event, whoever writes it and wherever they were given', async () => {
    const { sink, provider } = await open();
    const command = ['sh', '-c', 'sleep 1000 # planted-file'];
    await using session = await provider.createSession({ secrets, command });
    await session.exec('echo', ['a planted-variable of mine', 'planted-file']);
    // What the daemon says of a program that is not there names it.
    await expect(session.exec('planted-file')).rejects.toThrow();
    const other = await open();
    const connected = await other.provider.connect(session.sessionId);
    await connected.exec('echo', ['Bearer planted-file', 'planted-variable']);
    await expect(provider.createSession({ secrets, user: 'planted-file' })).rejects.toThrow();
    await expect(provider.createSession({ secrets, networkMode: 'planted-file' } as object)).rejects.toThrow();
    expect(other.sink.events[0]?.command).toEqual(['echo', 'Bearer [redacted]', '[redacted]']);
    expect(sink.events.filter(({ action }) => action === 'create')).toHaveLength(5);
    expect(sink.events[0]?.command).toEqual(['sh', '-c', 'sleep 1000 # [redacted]']);
    const text = JSON.stringify([sink.events, other.sink.events]);
    expect(text).toContain('[redacted] of mine');
    expect(text).not.toContain('planted');
  });
});

describe('a sink that takes nothing', () => {
  async function warn(act: () => Promise<unknown>): Promise<Error & { code?: string }> {
    const warned = once(process, 'warning');
    await act();
    const [warning] = await warned;
    return warning;
  }

  test('refuse: nothing is begun that cannot be told of, and everything is ended', async () => {
    const { sink, provider } = await open();
    const session = await provider.createSession();
    sink.failure = new Error('disk full');
    const refusal = { code: 'failed-precondition', message: /audit sink does not take its event: disk full$/ };
    await expect(provider.createSession()).rejects.toMatchObject(refusal);
    await expect(session.exec('touch', ['/root/x'])).rejects.toMatchObject(refusal);
    await expect(session.update({ resources: { pidsLimit: 20 } })).rejects.toMatchObject(refusal);
    const limit = (await session.verify()).checks.find(({ field }) => /pids/.test(field));
    expect(limit?.observed).toBe(context.isKata ? undefined : 512);
    const warning = await warn(() => session.destroy());
    expect(warning.code).toBe('CADRE_AUDIT');
    expect(warning.message).toContain('disk full');
    expect(warning.message).toContain(`"sessionId":"${session.sessionId}"`);
    await expect(provider.connect(session.sessionId)).rejects.toMatchObject({ code: 'not-found' });
    sink.failure = undefined;
    await (await provider.createSession()).destroy();
  });

  test('warn: all goes on, and the event is in a warning, without secrets', async () => {
    const { sink, provider } = await open({ auditFailure: 'warn' });
    await using session = await provider.createSession({ secrets: [{ name: 'FILE', value: 'planted' }] });
    sink.failure = new Error('disk full');
    const warning = await warn(() => session.exec('echo', ['said', 'planted']));
    expect(warning.message).toContain('"command":["echo","said","[redacted]"]');
    sink.failure = undefined;
  });
});

test('a file of lines, the same for every provider that appends to it', async () => {
  const path = join(context.root, 'audit.jsonl');
  const one = await open({ audit: new JsonlAuditSink(path) });
  const two = await open({ audit: new JsonlAuditSink(path), actor: 'other' });
  await Promise.all(
    [one, two].map(async ({ provider }) => {
      await using session = await provider.createSession();
      await session.exec('true');
    }),
  );
  const events = readFileSync(path, 'utf8')
    .trim()
    .split('\n')
    .map((line): AuditEvent => JSON.parse(line));
  for (const actor of ['ci/42', 'other']) {
    const own = events.filter((event) => event.actor === actor).map(({ action, outcome }) => `${action} ${outcome}`);
    expect(own).toEqual(['create begun', 'create done', 'exec begun', 'exec done', 'destroy done']);
  }
});
