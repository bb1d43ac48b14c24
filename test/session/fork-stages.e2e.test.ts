import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import type { Session } from '../../src/index.js';
import { planSession } from '../../src/provider/plan.js';
import { Channel } from '../../src/rpc/channel.js';
import { connectSession } from '../../src/session/connect.js';
import { nameStateDirectory } from '../../src/session/context.js';
import { readHostFacts } from '../../src/session/host.js';
import { type ReapReport, reapLeftovers } from '../../src/session/reap.js';
import { breakCall, type CallCounter } from '../support/broken-channel.js';
import { context, onlyOn } from '../support/context.js';
import { collectGarbage, observe, settle } from '../support/leaks.js';
import { openProvider } from '../support/provider.js';
import { makeSessionContext } from '../support/session-context.js';

const provider = await openProvider();
const real = new Channel(context);
afterAll(() => real.close());
const before = await observe(context);

afterEach(async () => {
  await provider.stopAll();
  if (await provider.images.exists('new')) await provider.images.remove('new');
  await collectGarbage(context);
  expect(await settle(context, before)).toEqual(before);
});

/** The session as one has it whose calls break. */
async function takeUp(id: string, counter: CallCounter): Promise<{ taken: Session; reap(): Promise<ReapReport> }> {
  const session = makeSessionContext(real, nameStateDirectory(context.stateRoot, real), join(context.root, 'volumes'));
  session.plan = async ({ policy, ...asked }, image) =>
    planSession(policy, asked, image, {
      context: session,
      uuid: 'test',
      host: readHostFacts(),
      hostEnv: {},
      executor: 'task' as const,
      runtime: 'runc',
      runtimeOptions: {},
    });
  const taken = await connectSession(session, id);
  session.channel = breakCall(real, counter);
  return { taken, reap: () => reapLeftovers(session) };
}

async function prepare(state: 'stopped' | 'running'): Promise<Session> {
  const session = await provider.createSession();
  await session.exec('sh', ['-c', 'echo parent >/f']);
  if (state === 'stopped') await session.stop();
  return session;
}

onlyOn(['2.1'], 'half a minute; the code path is the same everywhere')('a commit or a fork', () => {
  describe.each([
    ['commit', 'stopped'],
    ['commit', 'running'],
    ['fork', 'stopped'],
    ['fork', 'running'],
  ] as const)('a %s of a %s session', (verb, state) => {
    test('that breaks at any call leaves nothing, and the session as it was', async () => {
      const session = await prepare(state);
      const act = async (counter: CallCounter) => {
        const { taken, reap } = await takeUp(session.sessionId, counter);
        const calls: string[] = [];
        try {
          if (verb === 'commit') return void (await taken.commit({ image: 'new' }));
          const forks = await taken.fork();
          calls.push(...counter.calls);
          // What breaks is the fork, and not its end.
          counter.failAt = 0;
          for (const fork of forks) await fork.destroy();
          counter.calls = calls;
        } catch (error) {
          // Of what tidies up nothing is lost that fails: the reaper does it.
          counter.failAt = 0;
          expect((await reap()).failures).toEqual([]);
          throw error;
        }
      };
      const whole = { calls: [] as string[], failAt: 0, lose: false };
      await act(whole);
      expect(whole.calls.length).toBeGreaterThan(8);
      for (const [i, where] of whole.calls.entries()) {
        if (verb === 'fork' && state === 'stopped') {
          // Written to, so that there is something to fork anew.
          await session.start();
          await session.exec('sh', ['-c', `echo ${i} >/g`]);
          await session.stop();
        }
        if (await provider.images.exists('new')) await provider.images.remove('new');
        await collectGarbage(context);
        const { api } = await observe(context);
        // What only tidies up may fail without harm to what was asked for.
        const failure = await act({ calls: [], failAt: i + 1, lose: i % 2 === 1 }).catch((error: unknown) => error);
        if (failure !== undefined) expect(failure).toMatchObject({ code: 'unavailable' });
        if (await provider.images.exists('new')) await provider.images.remove('new');
        await collectGarbage(context);
        const { snapshots, ...after } = (await observe(context)).api;
        const { snapshots: _, ...expected } = api;
        expect({ where, ...after }).toEqual({ where, ...expected });
        expect(await session.info()).toMatchObject({ state });
        if (state === 'running') expect({ where, snapshots }).toEqual({ where, snapshots: api.snapshots });
      }
      if (state === 'stopped') await session.start();
      expect(await session.exec('cat', ['/f'])).toMatchObject({ stdout: 'parent\n' });
    });
  });
});
