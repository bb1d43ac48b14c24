import { existsSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { CreateOptions } from '../../../src/provider/create-options.js';
import { findShims } from '../../../src/session/leftovers.js';
import type { Session } from '../../../src/session/session.js';
import { listServed } from '../../../src/session/shim-socket.js';
import { nameShimGroup } from '../../../src/spec/runtime.js';
import { onlyOn } from '../../support/context.js';
import { locateSocket } from '../../support/host-state.js';
import { observe, settle } from '../../support/leaks.js';
import { relax } from '../../support/patience.js';
import { openPrivateHost } from './private.js';
import { Worker } from './worker.js';

const { daemon, scope, options, provider, reap } = await openPrivateHost();

/** A worker takes as long to start as the machine is busy. */
const TIMEOUT = { timeout: relax(300_000) };

/** With the socket of the group's shim, which is none of a session's id. */
const scopeOf = (group: string, sessions: readonly { sessionId: string }[]) => ({
  ...scope,
  ids: [`shared-${group}`, ...sessions.map(({ sessionId }) => sessionId)],
});
const create = (given: CreateOptions) => provider.createSession(given);
const createThree = async (shimGroup: string): Promise<[Session, Session, Session]> => {
  const first = await create({ shimGroup });
  return [first, ...((await Promise.all([create({ shimGroup }), create({ shimGroup })])) as [Session, Session])];
};
/** Which sessions each shim serves, by its pid. */
const listShims = () =>
  findShims(scope.address, scope.namespace, 0).map((shim) => ({ pid: shim.pid, ids: listServed(shim).sort() }));
const idsOf = (sessions: readonly Session[]) => sessions.map(({ sessionId }) => sessionId).sort();
const echo = async (session: Session) => (await session.exec('echo', ['alive'])).stdout;

describe('a group', TIMEOUT, () => {
  test('has one shim, which outlives the first of its sessions and ends with the last', async () => {
    const before = await observe(scope);
    const sessions = await createThree('one');
    const [first, second, third] = sessions;
    const alone = await create({});
    expect(listShims().map(({ ids }) => ids)).toEqual(expect.arrayContaining([idsOf(sessions), [alone.sessionId]]));
    expect(await second.info()).toMatchObject({ shimGroup: 'one' });
    expect(await alone.info()).not.toHaveProperty('shimGroup');

    await first.destroy();
    // The shim bears the id of a session that is gone, and its bundle is gone too.
    expect(await reap()).toMatchObject({ shims: [], sessions: [], failures: [] });
    expect(await Promise.all([second, third, alone].map(echo))).toEqual(['alive\n', 'alive\n', 'alive\n']);
    const fourth = await create({ shimGroup: 'one', command: ['sh', '-c', 'echo said; exit 7'] });
    const said: string[] = [];
    for await (const { data } of fourth.logs({ follow: true })) said.push(String(data));
    expect(said.join('')).toBe('said\n');
    expect(await fourth.info()).toMatchObject({ state: 'stopped', exitCode: 7 });
    await fourth.start();
    for (const session of [fourth, third, alone, second]) await session.destroy();
    expect(await settle(scopeOf('one', [...sessions, alone, fourth]), before)).toEqual(before);
  });

  test('of which the shim is killed is stopped as a whole, starts again, and leaves nothing', async () => {
    const before = await observe(scope);
    const sessions = await createThree('killed');
    const [first, second, third] = sessions;
    await first.destroy();
    const [shim] = listShims();
    expect(shim?.ids).toEqual(idsOf([second, third]));
    process.kill(shim?.pid as number, 'SIGKILL');
    for (const session of [second, third]) {
      await expect.poll(async () => (await session.info()).state, { timeout: relax(10_000) }).toBe('stopped');
      expect(await session.info()).not.toHaveProperty('exitCode');
    }
    await second.start();
    expect(await echo(second)).toBe('alive\n');
    const next = await create({ shimGroup: 'killed' });
    expect(listShims().map(({ ids }) => ids)).toEqual([idsOf([second, next])]);
    for (const session of [second, third, next]) await session.destroy();
    expect(await settle(scopeOf('killed', [...sessions, next]), before)).toEqual(before);
  });

  test('of a process that has ended is reaped, with what its shim left when it was killed', async () => {
    const before = await observe(scope);
    const worker = new Worker(options);
    const ids = await Promise.all([1, 2, 3].map(() => worker.tell('create', { shimGroup: 'reaped' })));
    const [shim] = listShims();
    await worker.kill();
    process.kill(shim?.pid as number, 'SIGKILL');
    expect(await reap()).toMatchObject({ sessions: expect.arrayContaining(ids), failures: [] });
    const found = ids.map((sessionId) => ({ sessionId }));
    expect(await settle(scopeOf('reaped', found), before)).toEqual(before);
  });

  test('is served on when containerd restarts, and by two processes of which one ends', async () => {
    const before = await observe(scope);
    await using worker = new Worker(options);
    const theirs = await worker.tell('create', { shimGroup: 'both' });
    const ours = await create({ shimGroup: 'both' });
    expect(listShims().map(({ ids }) => ids)).toEqual([[theirs, ours.sessionId].sort()]);
    await daemon.kill9();
    await daemon.restart();
    expect(await worker.tell('exec', theirs, 'echo alive')).toEqual({ stdout: 'alive\n', exitCode: 0 });
    await worker.kill();
    expect((await reap()).sessions).toEqual([theirs]);
    expect(await echo(ours)).toBe('alive\n');
    const next = await create({ shimGroup: 'both' });
    expect(listShims().map(({ ids }) => ids)).toEqual([idsOf([ours, next])]);
    await Promise.all([ours.destroy(), next.destroy()]);
    expect(await settle(scopeOf('both', [ours, next, { sessionId: theirs }]), before)).toEqual(before);
  });

  test('gets a session at the moment at which its last one ends', async () => {
    const before = await observe(scope);
    const made: Session[] = [await create({ shimGroup: 'turn' })];
    // A creation asks for the shim some 15 ms after its begin, and a removal lets it go after as long again.
    for (const delayMs of [0, 4, 8, 12, 16, 20, 24, 32]) {
      const ending = (made.at(-1) as Session).destroy();
      await sleep(delayMs);
      made.push(await create({ shimGroup: 'turn' }));
      await ending;
    }
    await made.at(-1)?.destroy();
    expect(await settle(scopeOf('turn', made), before)).toEqual(before);
  });

  test('loses no shim whose socket was removed by the one before it', async () => {
    const before = await observe(scope);
    const path = locateSocket(scope, nameShimGroup('lost'));
    const made: Session[] = [];
    for (let round = 0; round < 8; round += 1) {
      // As soon as the new shim listens, and before containerd connects.
      const remove = () => {
        if (existsSync(path)) rmSync(path);
        else setImmediate(remove);
      };
      remove();
      const session = await create({ shimGroup: 'lost' });
      made.push(session);
      await session.destroy();
    }
    expect(await settle(scopeOf('lost', made), before)).toEqual(before);
  });

  test('shares neither limits nor a kill for memory, and is not moved where there is no such shim', async () => {
    await using small = await create({ shimGroup: 'kept', resources: { memoryMb: 48 } });
    await using large = await create({ shimGroup: 'kept', resources: { memoryMb: 512 } });
    expect(listShims().map(({ ids }) => ids)).toEqual([idsOf([small, large])]);
    const eat = (session: Session) => session.exec('dd', ['if=/dev/zero', 'of=/dev/null', 'bs=200M', 'count=1']);
    expect(await Promise.all([eat(small), eat(large)])).toMatchObject([
      { exitCode: 137, oomKilled: true },
      { exitCode: 0, oomKilled: false },
    ]);
    expect(await small.exec('sh', ['-c', 'kill -9 $$'])).toMatchObject({ exitCode: 137, oomKilled: false });
    await small.stop({ timeoutMs: 100 });
    await expect(small.start({ runtime: 'kata' })).rejects.toMatchObject({
      code: 'capability-mismatch',
      mismatchedAttributes: ['shimGroup'],
    });
    await small.start();
    expect(listShims().map(({ ids }) => ids)).toEqual([idsOf([small, large])]);
  });

  const maps = onlyOn(['2.1'], 'older ones do not map the ids of layers');
  maps('with user namespaces', () => {
    test('has one for each of its sessions that asked for one', async () => {
      await using plain = await create({ shimGroup: 'mapped' });
      await using mapped = await create({ shimGroup: 'mapped', userns: true });
      expect(listShims().map(({ ids }) => ids)).toEqual([idsOf([plain, mapped])]);
      const readMap = async (session: Session) => (await session.exec('cat', ['/proc/self/uid_map'])).stdout.trim();
      expect((await Promise.all([plain, mapped].map(readMap))).map((map) => map.split(/ +/))).toEqual([
        ['0', '0', '4294967295'],
        ['0', '1879048192', '65536'],
      ]);
    });
  });

  test('starts many commands at once in all of its sessions', async () => {
    const sessions = await createThree('many');
    const results = await Promise.all(
      Array.from({ length: 48 }, (_, i) => (sessions[i % 3] as Session).exec('sh', ['-c', `exit ${i}`])),
    );
    expect(results.map(({ exitCode }) => exitCode)).toEqual(Array.from({ length: 48 }, (_, i) => i));
    const [fork] = await sessions[0].fork();
    expect(await fork?.info()).toMatchObject({ shimGroup: 'many' });
    await Promise.all([...sessions, ...(fork === undefined ? [] : [fork])].map((session) => session.destroy()));
  });
});

describe('a pool whose sessions share shims', TIMEOUT, () => {
  test('has so many at each as it was told, whoever has them', async () => {
    const before = await observe(scope);
    const pool = provider.pool({ min: 3, sharedShim: 2 });
    await pool.ready();
    const sizes = () =>
      listShims()
        .map(({ ids }) => ids.length)
        .sort();
    expect(sizes()).toEqual([1, 2]);
    const taken = await pool.take();
    expect(await taken.info()).toMatchObject({ shimGroup: expect.stringMatching(`^${pool.name}-`) });
    await expect.poll(() => pool.stats().idle, { timeout: relax(20_000) }).toBe(3);
    expect(sizes()).toEqual([2, 2]);
    await expect(pool.take({ shimGroup: 'another' })).rejects.toMatchObject({ mismatchedAttributes: ['shimGroup'] });
    await pool.close();
    expect(await echo(taken)).toBe('alive\n');
    await taken.destroy();
    expect(await settle(scopeOf('none', [taken]), before)).toEqual(before);
  });
});

test('what cannot share a shim is refused by name before anything is created', async () => {
  const mismatch = { code: 'capability-mismatch' };
  await expect(create({ runtime: 'kata', shimGroup: 'a' })).rejects.toMatchObject({
    ...mismatch,
    mismatchedAttributes: expect.arrayContaining(['shimGroup']),
  });
  for (const given of [
    { runtime: 'kata', sharedShim: true },
    { runtime: 'kata', sharedShim: 4 },
  ]) {
    expect(() => provider.pool(given)).toThrow(expect.objectContaining({ mismatchedAttributes: ['sharedShim'] }));
  }
  expect(() => provider.pool({ shimGroup: 'a' } as object)).toThrow(
    expect.objectContaining({ mismatchedAttributes: ['shimGroup'] }),
  );
  await expect(create({ shimGroup: '../a' })).rejects.toMatchObject({ code: 'invalid-argument' });
  expect(() => provider.pool({ sharedShim: 0 })).toThrow(/sharedShim/);
});
