import { expect, test } from 'vitest';
import { removeRecord, removeTask } from '../../../src/session/teardown.js';
import { collectGarbage, observe, settle } from '../../support/leaks.js';
import { collectLogs } from '../main-session.js';
import { openPrivateHost } from './private.js';
import { Worker } from './worker.js';

const { scope, options, provider, channel } = await openPrivateHost();
const CALLERS = 20;

test(`${CALLERS} creations of one name: one wins unharmed, the others are told, and leave nothing`, async () => {
  const before = await observe(scope);
  const results = await Promise.allSettled(
    Array.from({ length: CALLERS }, () => provider.createSession({ name: 'contended' })),
  );
  const [winner, ...more] = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  expect(more).toEqual([]);
  const errors = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
  expect(errors.map(({ code, message }) => `${code}: ${message}`)).toEqual(
    Array(CALLERS - 1).fill('already-exists: there is a session contended already'),
  );
  // After the winner is complete, too.
  await expect(provider.createSession({ name: 'contended' })).rejects.toMatchObject({ code: 'already-exists' });
  expect((await winner?.exec('echo', ['unharmed']))?.stdout).toBe('unharmed\n');
  const held = await observe(scope);
  expect(held.api).toMatchObject({ containers: [winner?.sessionId], tasks: [winner?.sessionId], leases: [] });
  await winner?.destroy();
  expect(await settle(scope, before)).toEqual(before);
});

test(`${CALLERS} callers of getOrCreate in three processes get one session`, async () => {
  const before = await observe(scope);
  await using one = new Worker(options);
  await using two = new Worker(options);
  const calls = Array.from({ length: CALLERS }, async (_, index) => {
    if (index % 3 === 0) return (await provider.getOrCreate('shared')).sessionId;
    return (index % 3 === 1 ? one : two).tell('getOrCreate', 'shared');
  });
  const [id = '', ...others] = new Set(await Promise.all(calls));
  expect(others).toEqual([]);
  // FIFOs of the three do not meet.
  const own = await provider.connect('shared');
  const says = Array.from({ length: 12 }, async (_, index) => {
    const script = `echo ${index}; seq 5000`;
    const { stdout } =
      index % 3 === 0
        ? await own.exec('sh', ['-c', script])
        : await (index % 3 === 1 ? one : two).tell('exec', id, script);
    return stdout.split('\n', 1)[0] === String(index) && stdout.length > 20_000;
  });
  expect(await Promise.all(says)).toEqual(Array(12).fill(true));
  await one.tell('destroy', id);
  const gone = { code: 'destroyed', message: `session ${id} is destroyed` };
  await expect(own.exec('true')).rejects.toMatchObject(gone);
  await expect(own.info()).rejects.toMatchObject(gone);
  await expect(own.stop()).rejects.toMatchObject(gone);
  await expect(own.start()).rejects.toMatchObject(gone);
  await expect(two.tell('exec', id, 'true')).rejects.toMatchObject(gone);
  await expect(provider.connect('shared')).rejects.toMatchObject({ code: 'not-found' });
  await own.destroy();
  expect(await settle(scope, before)).toEqual(before);
});

test('the name of a session whose process has ended is free at once, for whoever comes first', async () => {
  // What the processes of the tests before have left.
  await provider.reap();
  const before = await observe(scope);
  const dead = new Worker(options);
  const old = await dead.tell('create', { name: 'inherited' });
  await dead.tell('exec', old, 'touch /root/old');
  await dead.kill();
  await using one = new Worker(options);
  await using two = new Worker(options);
  const calls = [one, two, one, two].map((worker) => worker.tell('getOrCreate', 'inherited'));
  const ids = new Set([(await provider.getOrCreate('inherited')).sessionId, ...(await Promise.all(calls))]);
  // The id is made of the name; it is another session all the same.
  expect([...ids]).toEqual([old]);
  for (const worker of [one, two]) {
    expect(await worker.tell('exec', old, 'ls /root')).toEqual({ stdout: '', exitCode: 0 });
  }
  await (await provider.connect('inherited')).destroy();
  // The FIFOs that it had not used yet.
  await provider.reap();
  expect(await settle({ ...scope, ids: [old] }, before)).toEqual(before);
});

test('files of an earlier session, of which nothing else is left, are in no later one of the name', async () => {
  const before = await observe(scope);
  const make = (text: string) => ({
    name: 'again',
    secrets: [{ name: 'key', value: text }],
    command: ['sh', '-c', `echo ${text}; exec sleep 1d`],
  });
  const worker = new Worker(options);
  const id = await worker.tell('create', make('earlier'));
  await worker.kill();
  // As an end in the middle of a destruction leaves it: the daemon collects what no record holds.
  await removeTask(channel, id);
  await removeRecord(channel, id);
  await collectGarbage(scope);
  const left = await observe(scope);
  expect(left.api).toEqual(before.api);
  expect(left.host.files).not.toEqual(before.host.files);
  const session = await provider.createSession(make('later'));
  expect(session.sessionId).toBe(id);
  expect((await session.exec('cat', ['/run/secrets/key'])).stdout).toBe('later');
  await expect.poll(async () => (await collectLogs(session)).stdout).toBe('later\n');
  await session.destroy();
  expect(await settle(scope, before)).toEqual(before);
});

test('two that make and destroy a name again and again do each, or are told that it is there', async () => {
  const before = await observe(scope);
  await using worker = new Worker(options);
  // What comes free is taken again while the other one still looks at whose it was.
  const repeat = async (turn: () => Promise<unknown>) => {
    for (let round = 0; round < 60; round++) {
      await turn().catch((error) => expect(`${error.code}: ${error.message}`).toBe(refused));
    }
  };
  const refused = 'already-exists: there is a session ours already';
  const make = async () => (await provider.createSession({ name: 'ours' })).destroy();
  const makeElsewhere = async () => worker.tell('destroy', await worker.tell('create', { name: 'ours' }));
  await Promise.all([repeat(make), repeat(make), repeat(makeElsewhere)]);
  await make();
  expect(await settle(scope, before)).toEqual(before);
});

test('a handle of an earlier session does no harm to a later one of the name', async () => {
  await using worker = new Worker(options);
  const earlier = await provider.createSession({ name: 'again' });
  await worker.tell('connect', 'again');
  await worker.tell('destroy', earlier.sessionId);
  await worker.tell('create', { name: 'again' });
  await earlier.destroy();
  expect(await worker.tell('exec', earlier.sessionId, 'echo unharmed')).toEqual({ stdout: 'unharmed\n', exitCode: 0 });
  await worker.tell('destroy', earlier.sessionId);
});
