import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import type { Session } from '../../src/session/session.js';
import { dockerArchive } from '../image/archives.js';
import { context, unseen } from '../support/context.js';
import { observe, settle } from '../support/leaks.js';
import { relax } from '../support/patience.js';
import { openProvider } from '../support/provider.js';
import { packTar } from '../support/tar.js';
import { collectLogs, waitUntilStopped } from './main-session.js';

const provider = await openProvider();

describe('a command', () => {
  test("runs under the init, with the session's environment, and its code is the session's", async () => {
    // A supervisor does not let itself be looked at.
    const script = 'echo $$; cat /proc/1/comm; echo $OWN; readlink /proc/1/exe || echo /dev/cadre-init; exit 42';
    await using session = await provider.createSession({ command: ['sh', '-c', script], env: { OWN: 'a b' } });
    await waitUntilStopped(session);
    expect((await collectLogs(session)).stdout).toMatch(/^\d+\ncadre-init\na b\n\/dev\/cadre-init\n$/);
    expect(await session.info()).toMatchObject({ state: 'stopped', exitCode: 42 });
  });

  test('that a signal ended has 128 and the signal', async () => {
    await using session = await provider.createSession({ command: ['sh', '-c', 'kill -KILL $$'] });
    await waitUntilStopped(session);
    expect(await session.info()).toMatchObject({ exitCode: 137 });
  });

  for (const tty of [false, true]) {
    test(`that cannot run is refused and leaves nothing, ${tty ? 'terminal' : 'pipes'}`, async ({ skip }) => {
      skip(context.isKata, unseen);
      const before = await observe(context);
      for (const [command, code, message] of [
        ['no-such', 'not-found', 'command "no-such" not found in the session'],
        ['/etc/passwd', 'permission-denied', 'command "/etc/passwd" is not executable'],
        ['/bin', 'permission-denied', 'command "/bin" is not executable'],
      ] as const) {
        await expect(provider.createSession({ command: [command, 'x'], tty })).rejects.toMatchObject({ code, message });
      }
      expect(await settle(context, before)).toEqual(before);
    });
  }

  test('that writes what the init writes, or ends at once, is none that cannot run', async () => {
    const script = 'echo "ERROR (catatonit:1): failed to exec pid1: No such file or directory" >&2; sleep 0.2; exit 1';
    await using lying = await provider.createSession({ command: ['sh', '-c', script] });
    await waitUntilStopped(lying);
    expect(await lying.info()).toMatchObject({ exitCode: 1 });
    const sessions = await Promise.all(Array.from({ length: 5 }, () => provider.createSession({ command: ['true'] })));
    for (const session of sessions) {
      await waitUntilStopped(session);
      expect(await session.info()).toMatchObject({ exitCode: 0 });
      await session.destroy();
    }
  });

  test('is handed the signals that the init gets', async () => {
    const script = 'trap "echo usr1" USR1; trap "echo hup" HUP; echo ready; while :; do sleep 0.02; done';
    await using session = await provider.createSession({ command: ['sh', '-c', script] });
    const read = async () => (await collectLogs(session)).stdout;
    await expect.poll(read).toBe('ready\n');
    await session.exec('kill', ['-USR1', '1']);
    await expect.poll(read).toBe('ready\nusr1\n');
    await session.exec('kill', ['-HUP', '1']);
    await expect.poll(read).toBe('ready\nusr1\nhup\n');
  });
});

describe('200 orphans under a limit of 30 processes', () => {
  // In handfuls: on a busy machine the init comes to reap a little later than they end.
  const orphans = 'i=0; while [ $i -lt 200 ]; do i=$((i+1)); ( : & ); [ $((i % 5)) != 0 ] || sleep 0.01; done';
  const resources = context.limitPids(30);
  // What reaps for a command ends a moment after it.
  const listStates = async (session: Session) => (await session.exec('ps', ['-o', 'pid,stat'])).stdout;

  test('of an exec in a session without a command', async () => {
    await using session = await provider.createSession({ resources });
    expect(await session.exec('sh', ['-c', orphans])).toMatchObject({ exitCode: 0 });
    await expect.poll(() => listStates(session)).not.toMatch(/Z/);
    for (let i = 0; i < 10; i++) expect((await session.exec('true')).exitCode).toBe(0);
  });

  test('of the command itself', async () => {
    const command = ['sh', '-c', `${orphans}; echo done; sleep 1000`];
    await using session = await provider.createSession({ resources, command });
    await expect.poll(async () => (await collectLogs(session)).stdout, { timeout: relax(20_000) }).toBe('done\n');
    await expect.poll(() => listStates(session)).not.toMatch(/Z/);
    for (let i = 0; i < 10; i++) expect((await session.exec('true')).exitCode).toBe(0);
  });
});

test('an image of one static program lives, runs it and goes', async () => {
  const reference = 'registry.test/library/bare:1';
  await provider.importImage(Readable.from([buildBareArchive(reference)]));
  const before = await observe(context);
  {
    await using session = await provider.createSession({ image: reference });
    expect((await session.exec('/busybox', ['echo', 'hi'])).stdout).toBe('hi\n');
    await expect(session.exec('sh')).rejects.toMatchObject({ code: 'not-found' });
    await session.stop();
    await session.start();
    expect((await session.exec('/busybox', ['ls', '/'])).stdout).toContain('busybox\n');
  }
  {
    await using session = await provider.createSession({ image: reference, command: ['/busybox', 'echo', 'main'] });
    await waitUntilStopped(session);
    expect((await collectLogs(session)).stdout).toBe('main\n');
  }
  expect(await settle(context, before)).toEqual(before);
});

function buildBareArchive(reference: string): Buffer {
  const layer = packTar([{ path: 'busybox', mode: 0o755, data: readFileSync('/bin/busybox') }]);
  return dockerArchive({ layers: [layer], item: { RepoTags: [reference] } });
}
