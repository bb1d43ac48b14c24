import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Session } from '../../../src/session/session.js';
import { context, onlyOn } from '../../support/context.js';
import { observe, settle } from '../../support/leaks.js';
import { openProvider } from '../../support/provider.js';

const provider = await openProvider({ executor: 'supervisor' });

function sh(session: Session, script: string) {
  return session.exec('sh', ['-c', script]);
}

test('commands are its children, with what the session has and no more', async () => {
  await using session = await provider.createSession({ env: { OWN: 'x' }, user: '1000:1000' });
  const script =
    'cat /proc/1/comm; id -u; id -G; echo $OWN $HOME; grep -E "^(NoNewPrivs|Seccomp|CapBnd)" /proc/self/status';
  const { stdout } = await sh(session, script);
  const tasks = await openProvider({ executor: 'task' });
  await using other = await tasks.createSession({ env: { OWN: 'x' }, user: '1000:1000' });
  expect(stdout).toBe((await sh(other, script)).stdout);
  expect(stdout).toMatch(/^cadre-init\n1000\n1000\nx \/home\/agent\n/);
});

test('another user, and a command of more than it takes, are started by containerd', async () => {
  await using session = await provider.createSession();
  expect((await session.exec('id', ['-u'], { user: '1000' })).stdout).toBe('1000\n');
  const long = 'x'.repeat(100_000);
  const { stdout } = await session.exec('sh', ['-c', 'echo $#', 'sh', long, long, long, long]);
  expect(stdout).toBe('4\n');
});

describe('nothing inside can stand in for it', () => {
  test('its socket is seen by nobody inside, and its place takes no file', async () => {
    await using session = await provider.createSession();
    const { stdout, stderr } = await sh(session, 'ls -A /dev/cadre; touch /dev/cadre/socket; find / -xdev -type s');
    expect(stdout).toBe('');
    expect(stderr).toMatch(/No such file/);
    const places = readdirSync(context.stateRoot).map((name) => join(context.stateRoot, name, session.sessionId));
    const own = places.find((place) => existsSync(place));
    expect(readdirSync(own as string)).toContain('supervisor.sock');
    expect(existsSync(join(own as string, 'door'))).toBe(false);
  });

  test('root inside neither ends it nor looks into it', async () => {
    await using session = await provider.createSession();
    const script =
      'kill -9 1; kill -TERM 1; kill -INT 1; cat /proc/1/environ; cat /proc/1/mem; readlink /proc/1/fd/0; cat /proc/1/maps';
    const { stdout, stderr } = await sh(session, script);
    expect(stdout).toBe('');
    expect(stderr.match(/Permission denied/g)?.length).toBeGreaterThanOrEqual(3);
    expect((await sh(session, 'echo still')).stdout).toBe('still\n');
  });

  test('whoever kills all it can does not take the codes along', async () => {
    await using session = await provider.createSession();
    const victim = await session.spawn('sleep', ['1000']);
    expect((await sh(session, 'kill -9 -1; exit 3')).exitCode).toBe(3);
    expect((await victim.result()).exitCode).toBe(137);
  });
});

test('a command that was detached is taken up by another process, and what it wrote meanwhile with it', async () => {
  await using session = await provider.createSession();
  const execution = await session.spawn('sh', ['-c', 'sleep 0.2; echo later; exit 4']);
  await execution.detach();
  const other = await openProvider();
  const again = await (await other.connect(session.sessionId)).executions.connect(execution.execId);
  expect(await again.result()).toMatchObject({ stdout: 'later\n', exitCode: 4 });
});

test("a command that does not read its input leaves the session's own alone", async () => {
  await using session = await provider.createSession({ command: ['sleep', '1000'] });
  for (let round = 0; round < 5; round++) {
    expect((await session.exec('true', [], { input: 'x'.repeat(200_000) })).exitCode).toBe(0);
  }
  expect(await session.info()).toMatchObject({ state: 'running' });
});

test('commands of it are listed with their pids of the host', async () => {
  await using session = await provider.createSession();
  await using execution = await session.spawn('sleep', ['1000']);
  expect(await session.executions.list()).toEqual([
    { execId: execution.execId, pid: execution.pid, command: ['sleep', '1000'] },
  ]);
});

test('a session starts again with a supervisor of its own, and leaves nothing', async () => {
  const before = await observe(context);
  {
    await using session = await provider.createSession({ command: ['sh', '-c', 'echo begun; sleep 1000'] });
    expect((await sh(session, 'echo one')).stdout).toBe('one\n');
    await session.stop({ timeoutMs: 0 });
    await expect(sh(session, 'echo two')).rejects.toMatchObject({
      code: expect.stringMatching(/not-found|precondition/),
    });
    await session.start();
    expect((await sh(session, 'echo three')).stdout).toBe('three\n');
    expect((await session.verify()).ok).toBe(true);
  }
  expect(await settle(context, before)).toEqual(before);
});

onlyOn(['2.1'], 'user namespaces are of containerd 2')('below another root', () => {
  test("its place is that root's, also when it starts again", async () => {
    await using session = await provider.createSession({ userns: true });
    const script = 'id -u; cut -c1-20 /proc/self/uid_map; cat /proc/1/comm';
    const { stdout } = await sh(session, script);
    expect(stdout).toMatch(/^0\n +0 +\d{5,}.*\ncadre-init\n$/);
    await session.stop({ timeoutMs: 0 });
    await session.start();
    expect((await sh(session, script)).stdout).toBe(stdout);
  });
});
