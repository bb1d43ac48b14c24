import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { observe, settle } from '../../support/leaks.js';
import { relax } from '../../support/patience.js';
import { isSoak, openPrivateHost } from './private.js';

const RESTARTS = isSoak ? 20 : 3;
const SESSIONS = isSoak ? 20 : 6;
// What is then left of the five seconds that calls wait is for the daemon to start, on a busy machine too.
const AWAY_MS = isSoak ? 30_000 : 1_000;
/** For how long a call that may not be repeated waits for a daemon that is away, with margin. */
const UNARY_MS = relax(12_000);

const { daemon, scope, provider } = await openPrivateHost();
const count = (to: number) => `${Array.from({ length: to }, (_, index) => index + 1).join('\n')}\n`;
const script = 'i=0; while [ ! -e /tmp/stop ]; do i=$((i + 1)); echo $i; sleep 0.02; done; exit 7';

test(`${RESTARTS} restarts with ${SESSIONS} sessions lose nothing`, { timeout: relax(600_000) }, async () => {
  const before = await observe(scope);
  const sessions = await Promise.all(Array.from({ length: SESSIONS }, () => provider.createSession()));
  const executions = await Promise.all(sessions.map((session) => session.spawn('sh', ['-c', script])));
  const results = executions.map((execution) => execution.result());
  const talker = await sessions[0]?.spawn('cat', [], { stdin: 'pipe' });
  const said = talker?.result();

  for (let restart = 0; restart < RESTARTS; restart++) {
    talker?.stdin?.write(`before ${restart}\n`);
    // Every third in order, as an upgrade does it.
    if (restart % 3 !== 2) await daemon.kill9();
    talker?.stdin?.write(`without ${restart}\n`);
    await daemon.restart();
    const started = Date.now();
    const { exitCode } = (await sessions[restart % SESSIONS]?.exec('true')) ?? {};
    expect([exitCode, Date.now() - started < 1_000]).toEqual([0, true]);
    const states = await Promise.all(sessions.map(async (session) => (await session.info()).state));
    expect(states).toEqual(sessions.map(() => 'running'));
  }

  await Promise.all(sessions.map((session) => session.exec('touch', ['/tmp/stop'])));
  for (const { exitCode, stdout, truncated } of await Promise.all(results)) {
    expect([exitCode, truncated.stdout]).toEqual([7, 0]);
    expect(stdout).toBe(count(stdout.split('\n').length - 1));
  }
  talker?.stdin?.end();
  const lines = Array.from({ length: RESTARTS }, (_, restart) => `before ${restart}\nwithout ${restart}\n`);
  expect(await said).toMatchObject({ exitCode: 0, stdout: lines.join('') });
  await Promise.all(sessions.map((session) => session.destroy()));
  expect(await settle(scope, before)).toEqual(before);
});

test(`a daemon that is away for ${AWAY_MS} ms`, { timeout: relax(300_000) }, async () => {
  const before = await observe(scope);
  const session = await provider.createSession();
  const running = (await session.spawn('sh', ['-c', script])).result();
  // Looked at in the end: what fails before is to be told alone.
  running.catch(() => undefined);
  await daemon.kill9();
  // Until the connection's end is noticed a call may be under way in it, and only some may be repeated then.
  await sleep(relax(100));
  const away = Date.now();
  const calls = [session.exec('true'), session.info(), provider.createSession(), provider.reap()].map(async (call) => {
    const failure = await call.then(
      () => undefined,
      (error) => error.code,
    );
    return { failure, ms: Date.now() - away };
  });
  await sleep(AWAY_MS);
  await daemon.restart();
  for (const { failure, ms } of await Promise.all(calls)) {
    // They wait for a short while and fail after a long one, in either case in bounds.
    expect(failure).toBe(isSoak ? 'unavailable' : undefined);
    expect(ms).toBeLessThan(UNARY_MS);
  }
  expect((await session.exec('touch', ['/tmp/stop'])).exitCode).toBe(0);
  expect((await running).exitCode).toBe(7);
  await session.destroy();
  await provider.stopAll();
  expect(await settle(scope, before)).toEqual(before);
});

test('destroy while the daemon is away says what is left, and carries on when called again', async ({ skip }) => {
  skip(!isSoak, 'only in npm run soak: half a minute of waiting');
  const before = await observe(scope);
  const session = await provider.createSession();
  await daemon.kill9();
  const failed = expect(session.destroy()).rejects.toMatchObject({ code: 'unavailable', operation: 'remove task' });
  await sleep(relax(100));
  await failed;
  await daemon.restart();
  await session.destroy();
  expect(await settle(scope, before)).toEqual(before);
});

test('events go on after a restart and tell of it', async () => {
  const abort = new AbortController();
  const topics: string[] = [];
  const watching = (async () => {
    for await (const { topic } of provider.events({ signal: abort.signal })) topics.push(topic);
  })();
  await (await provider.createSession()).destroy();
  await expect.poll(() => topics).toContain('/containers/delete');
  topics.length = 0;
  await daemon.kill9();
  await daemon.restart();
  await expect.poll(() => topics).toEqual(['/reconnected']);
  await (await provider.createSession()).destroy();
  await expect.poll(() => topics).toContain('/containers/delete');
  expect(topics).toContain('/tasks/start');
  abort.abort();
  await watching;
});
