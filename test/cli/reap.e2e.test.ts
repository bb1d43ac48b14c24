import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { context } from '../support/context.js';
import { observe, settle } from '../support/leaks.js';
import { openProvider } from '../support/provider.js';

const { address, namespace } = context;
/** Where the command line keeps them: it has no option for it. */
const provider = await openProvider({ stateRoot: '/run/cadre-containerd' });

function reap(...args: string[]) {
  const options = ['--address', address, '--namespace', namespace];
  return spawnSync(process.execPath, ['dist/cli/main.js', 'reap', ...options, ...args], { encoding: 'utf8' });
}

test('reap removes what has expired, tells what, and leaves the rest', async () => {
  const before = await observe(context);
  const session = await provider.createSession({ ttlMs: 3_600_000 });
  const expire = async () => {
    const { sessionId } = await provider.createSession({ ttlMs: 1 });
    return sessionId;
  };
  const first = await expire();
  expect(reap()).toMatchObject({ status: 0, stdout: `sessions ${first}\n`, stderr: '' });
  const second = await expire();
  const { status, stdout } = reap('--json');
  expect([status, JSON.parse(stdout)]).toEqual([
    0,
    { sessions: [second], tasks: [], remains: [], resumed: [], shims: [], cgroups: [], failures: [] },
  ]);
  expect((await session.exec('true')).exitCode).toBe(0);
  await session.destroy();
  expect(await settle(context, before)).toEqual(before);
});

test('reap takes no arguments', () => {
  expect(reap('everything')).toMatchObject({ status: 2, stderr: expect.stringContaining('everything') });
});
