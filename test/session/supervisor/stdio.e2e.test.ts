/** What a supervisor without a socket has to bear, behind the double of Kata's shim; the session suite is for the rest. */
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ContainerdProvider, type Session } from '../../../src/index.js';
import { listProcesses, readCommand, readOptional } from '../../../src/session/proc.js';
import { onlyOn } from '../../support/context.js';
import { makeKataHost, RECORDING_SHIM } from '../../support/kata-host.js';
import { observe, settle } from '../../support/leaks.js';
import { openPrivateHost } from '../recovery/private.js';
import { Worker } from '../recovery/worker.js';

const counting = 'i=0; while [ $i -lt 150 ]; do echo $i; i=$((i + 1)); sleep 0.01; done; exit 7';
const counted = Array.from({ length: 150 }, (_, i) => `${i}\n`).join('');

function findRelays({ sessionId }: Pick<Session, 'sessionId'>): number[] {
  return listProcesses().filter((pid) => {
    const [, role, , directory] = readCommand(pid);
    return role === '--relay' && directory?.endsWith(sessionId);
  });
}

const { daemon, scope, options: given } = await openPrivateHost({ path: [RECORDING_SHIM] });
const options = { ...given, runtime: 'kata', executor: 'supervisor' as const };
const detector = { hostRoot: makeKataHost(join(daemon.root, 'kata-host')) };
const provider = new ContainerdProvider(options, detector);
afterAll(() => provider[Symbol.asyncDispose]());

const open = () => new ContainerdProvider(options, detector);

onlyOn(['2.1'], 'half a minute; the shims of the others run the session suite over stdio alike')('over stdio', () => {
  let session: Session;
  beforeAll(async () => {
    session = await provider.createSession();
  });
  afterAll(() => session.destroy());

  test('what comes of a session is answered for by nobody: as a user that has nothing', () => {
    const [relay = 0, ...more] = findRelays(session);
    expect(more).toEqual([]);
    const status = readOptional(`/proc/${relay}/status`);
    for (const line of ['Uid:\t65534\t65534', 'NoNewPrivs:\t1', 'CapEff:\t0000000000000000'])
      expect(status).toContain(line);
  });

  test('megabytes go in and out whole, while the output of another command is not read', async () => {
    const flood = await session.spawn('yes');
    const data = randomBytes(3_000_000).toString('hex');
    const { stdout, exitCode } = await session.exec('cat', [], { input: data });
    expect(exitCode).toBe(0);
    expect(createHash('sha256').update(stdout).digest('hex')).toBe(createHash('sha256').update(data).digest('hex'));
    expect(await flood.kill()).toMatchObject({ verified: true, survivors: [] });
  });

  test('two processes use it at once, and one that is killed loses nothing for the other', async () => {
    await using worker = new Worker(options, detector);
    await worker.tell('connect', session.sessionId);
    await worker.tell('spawn', session.sessionId, counting);
    await session.exec('true');
    await worker.kill();
    const [running] = await session.executions.list();
    const execution = await session.executions.connect(running?.execId as string);
    expect(await execution.result()).toMatchObject({ stdout: counted, exitCode: 7 });
    const other = open();
    const again = await other.connect(session.sessionId);
    expect((await again.exec('echo', ['here'])).stdout).toBe('here\n');
    await other[Symbol.asyncDispose]();
  });

  test('without containerd, and after it has come back, its commands and its log go on', async () => {
    await using own = await provider.createSession({ command: ['sh', '-c', `${counting.replace('150', '300')}`] });
    const result = own.exec('sh', ['-c', counting]);
    await sleep(100);
    await daemon.kill9();
    expect((await own.exec('echo', ['without'])).stdout).toBe('without\n');
    await daemon.restart();
    expect(await result).toMatchObject({ stdout: counted, exitCode: 7 });
    let log = '';
    for await (const { data } of own.logs({ follow: true })) log += Buffer.from(data).toString();
    expect(log).toBe(Array.from({ length: 300 }, (_, i) => `${i}\n`).join(''));
    expect(await own.info()).toMatchObject({ state: 'stopped', exitCode: 7 });
  });

  test('a relay that is killed cuts the connection and nothing else', async () => {
    // It ends the session, and the other command with it: only after that.
    await using own = await provider.createSession({ command: ['sh', '-c', `${counting.replace('150', '600')}`] });
    const execution = await own.spawn('sh', ['-c', counting]);
    const cut = execution.result().catch((error) => error.code);
    for (let round = 0; round < 3; round++) {
      await sleep(100);
      const [relay = 0] = findRelays(own);
      process.kill(relay, 'SIGKILL');
      await expect.poll(() => findRelays(own)).not.toContain(relay);
      // Until this process has heard of it, what it says goes to the old one.
      const say = () =>
        own.exec('echo', [`${round}`]).then(
          ({ stdout }) => stdout,
          ({ code }) => code,
        );
      await expect.poll(say).toBe(`${round}\n`);
    }
    expect(await cut).toBe('aborted');
    const again = await own.executions.connect(execution.execId);
    expect(await again.result()).toMatchObject({ stdout: counted, exitCode: 7 });
    let log = '';
    for await (const { data } of own.logs({ follow: true })) log += Buffer.from(data).toString();
    expect(log).toBe(Array.from({ length: 600 }, (_, i) => `${i}\n`).join(''));
  });

  test('nothing inside has its streams', async () => {
    const directory = execFileSync('mktemp', ['-d'], { encoding: 'utf8' }).trim();
    const program = join(directory, 'hostile');
    const source = fileURLToPath(new URL('hostile.c', import.meta.url));
    execFileSync('gcc', ['-O1', '-Wall', '-Werror', '-static', '-o', program, source]);
    const mounts = [{ path: program, target: '/hostile', readOnly: true }];
    const script =
      'ls -l /proc/self/fd | sed -n "s/.* -> //p"; for fd in 0 1 2 3 4 5 6 7 8 9; do echo garbage >/proc/1/fd/$fd; done; kill -9 1; kill -TERM 1';
    for (const user of ['0:0', '1000:1000']) {
      await using own = await provider.createSession({ mounts, user, seccomp: 'unconfined' });
      const { stdout, stderr } = await own.exec('sh', ['-c', script]);
      expect(stdout.replace(/\d+/g, 'N')).toBe('/dev/null\npipe:[N]\npipe:[N]\n');
      expect(stderr.match(/Permission denied/g)?.length).toBeGreaterThanOrEqual(10);
      const attempts = (await own.exec('/hostile')).stdout.trim().split('\n');
      expect(attempts.length).toBeGreaterThan(15);
      expect(attempts.filter((line) => line.endsWith(' 0'))).toEqual([]);
      expect((await own.exec('echo', ['still'])).stdout).toBe('still\n');
    }
  });

  test('a command that cannot run fails the creation, and nothing is left of sessions at all', async () => {
    const before = await observe(scope);
    await expect(provider.createSession({ command: ['no-such'] })).rejects.toMatchObject({
      code: 'not-found',
      message: 'command "no-such" not found in the session',
    });
    const own = await provider.createSession({ command: ['sh', '-c', 'echo once; sleep 1000'] });
    await own.stop({ timeoutMs: 0 });
    await expect(own.exec('true')).rejects.toMatchObject({ code: expect.stringMatching(/not-found|precondition/) });
    await own.start();
    expect((await own.exec('echo', ['again'])).stdout).toBe('again\n');
    await own.destroy();
    await expect.poll(() => findRelays(own)).toEqual([]);
    expect(await settle(scope, before)).toEqual(before);
  });

  test('a session moves to runc and back with it', async () => {
    await using own = await provider.createSession();
    await own.exec('sh', ['-c', 'echo kept >/root/file']);
    for (const runtime of ['runc', 'kata']) {
      await own.stop({ timeoutMs: 0 });
      await own.start({ runtime });
      expect((await own.exec('cat', ['/root/file'])).stdout).toBe('kept\n');
      expect(await own.info()).toMatchObject({ executor: 'supervisor' });
    }
  });
});
