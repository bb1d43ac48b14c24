import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { getImage } from '../../src/image/image.js';
import { parsePolicy } from '../../src/policy/parse.js';
import { planSession } from '../../src/provider/plan.js';
import type { Channel } from '../../src/rpc/channel.js';
import { Channel as RealChannel } from '../../src/rpc/channel.js';
import { createSession } from '../../src/session/create.js';
import { readHostFacts } from '../../src/session/host.js';
import { breakCall } from '../support/broken-channel.js';
import { context } from '../support/context.js';
import { observe, settle } from '../support/leaks.js';
import { openProvider } from '../support/provider.js';
import { makeSessionContext } from '../support/session-context.js';

await openProvider();
const channel = new RealChannel(context);
afterAll(() => channel.close());

const image = await getImage(channel, context.images.reference);
const directory = join(context.stateRoot, 'stages');

function plan(broken: Channel) {
  const session = makeSessionContext(broken, directory, join(context.root, 'volumes', 'of-test'));
  return {
    session,
    request: planSession(parsePolicy({}), {}, image, {
      context: session,
      uuid: 'test',
      host: readHostFacts(),
      hostEnv: {},
      executor: 'task',
      runtime: 'runc',
      runtimeOptions: {},
    }),
  };
}

async function listCalls(): Promise<string[]> {
  const counter = { calls: [], failAt: 0, lose: false };
  const { session, request } = plan(breakCall(channel, counter));
  const created = await createSession(session, request);
  const calls = [...counter.calls];
  await created.destroy();
  return calls;
}

describe('a creation that fails', async () => {
  const calls = await listCalls();
  const before = await observe({ ...context, stateRoot: directory });

  test('has the stages that are walked here', () => {
    expect(calls).toEqual([
      'Leases/Create',
      'Snapshots/Prepare',
      'Containers/Create',
      'Tasks/Create',
      'Tasks/Start',
      'Leases/Delete',
    ]);
  });

  describe.each([
    ['before the call', false],
    ['after the call, its answer lost', true],
  ])('%s', (_, lose) => {
    test.each(calls.map((operation, index) => [operation, index + 1] as const))(
      'at %s leaves nothing',
      async (operation, failAt) => {
        const { session, request } = plan(breakCall(channel, { calls: [], failAt, lose }));
        await expect(createSession(session, request)).rejects.toMatchObject({
          code: 'unavailable',
          message: expect.stringMatching(`injected (at|after) ${operation}`),
          suppressed: [],
        });
        const scope = { ...context, stateRoot: directory, ids: [request.record.id] };
        expect(await settle(scope, before)).toEqual(before);
      },
    );
  });

  test('because it was aborted leaves nothing', async () => {
    const { session, request } = plan(channel);
    const abort = new AbortController();
    const creating = createSession(session, { ...request, signal: abort.signal });
    setTimeout(() => abort.abort(), 10);
    await expect(creating).rejects.toMatchObject({ code: 'canceled' });
    expect(await settle({ ...context, stateRoot: directory }, before)).toEqual(before);
  });

  test('because its runtime does not exist leaves nothing', async () => {
    const { session, request } = plan(channel);
    const record = { ...request.record, runtime: 'io.containerd.absent.v2' };
    const runtime = { name: record.runtime };
    await expect(createSession(session, { ...request, record, runtime })).rejects.toMatchObject({
      operation: 'Tasks.Create',
    });
    expect(await settle({ ...context, stateRoot: directory }, before)).toEqual(before);
  });
});
