import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DriverError } from '../../src/core/error.js';
import type { ExecOptions } from '../../src/session/exec-options.js';
import type { Execution } from '../../src/session/execution.js';
import type { Session } from '../../src/session/session.js';
import { AGENT } from '../support/busybox.js';
import { relax } from '../support/patience.js';
import { openProvider } from '../support/provider.js';

const provider = await openProvider();
let session: Session;
let other: Session;
let silent: { startedAt: number; execution: Execution };
beforeAll(async () => {
  session = await provider.createSession();
  // Silent while the other tests run, and for longer than any default of the wire.
  other = await provider.createSession();
  silent = { startedAt: Date.now(), execution: await other.spawn('sh', ['-c', 'sleep 12; echo late']) };
});
afterAll(() => Promise.all([session.destroy(), other.destroy()]));

const run = (script: string, options?: ExecOptions) => session.exec('sh', ['-c', script], options);

describe('user', () => {
  const { name, uid, gid, supplementary } = AGENT;
  test.each([
    [name, `${uid} ${gid} ${gid} ${supplementary}`],
    [String(uid), `${uid} ${gid} ${gid} ${supplementary}`],
    [`${uid}:${gid}`, `${uid} ${gid} ${gid}`],
    [`${name}:tools`, `${uid} ${supplementary} ${supplementary}`],
    ['4321', '4321 0 0'],
    ['0', '0 0 0'],
  ])('%s', async (user, ids) => {
    const { stdout } = await run('echo $(id -u) $(id -g) $(id -G)', { user });
    expect(stdout).toBe(`${ids}\n`);
  });

  test.each(['nobody-here', 'agent:no-group', 'no:1'])('%s is refused by name', async (user) => {
    await expect(run('id', { user })).rejects.toMatchObject({
      code: 'invalid-argument',
      message: expect.stringContaining(user.startsWith('agent') ? 'no-group' : (user.split(':')[0] as string)),
    });
  });

  test('can do what that user can, and no more', async () => {
    const { stdout } = await run('touch /etc/x 2>/dev/null || echo denied; cd ~ && touch mine && echo made', {
      user: name,
      env: { HOME: AGENT.home },
    });
    expect(stdout).toBe('denied\nmade\n');
  });
});

describe('options', () => {
  test('an unknown one is told what was probably meant', async () => {
    await expect(session.exec('true', [], { timeout: 5 } as ExecOptions)).rejects.toMatchObject({
      code: 'invalid-argument',
      message: expect.stringContaining('did you mean timeoutMs?'),
    });
  });

  test('every fault is named at once, and nothing is started', async () => {
    const options = { enviroment: {}, timeoutMs: 0, tty: { cols: 0, rows: 1 }, killSignal: 'KILL' };
    await expect(session.exec('true', [], options as unknown as ExecOptions)).rejects.toMatchObject({
      faults: ['enviroment', 'timeoutMs', 'tty.cols', 'killSignal'].map((path) => expect.objectContaining({ path })),
    });
    expect(await session.executions.list()).toEqual([]);
  });

  test('one that is undefined is absent', async () => {
    const keys = ['env', 'cwd', 'timeoutMs', 'user', 'signal', 'input', 'stdin', 'tty', 'onStdout', 'onStderr'];
    const more = ['killSignal', 'forceKillAfterDelayMs', 'maxBuffer', 'drainMs'];
    const options = Object.fromEntries([...keys, ...more].map((key) => [key, undefined]));
    expect(await run('echo $PWD; cat', options)).toMatchObject({ exitCode: 0, stdout: '/\n' });
  });

  test('timeoutMs undefined keeps the default of the policy', async () => {
    await using limited = await provider.createSession({ resources: { timeoutMs: 300 } });
    const result = await limited.exec('sleep', ['1000'], { timeoutMs: undefined } as object);
    expect(result).toMatchObject({ exitCode: 124, timedOut: true });
    expect((await limited.exec('sleep', ['0.5'], { timeoutMs: 60_000 })).exitCode).toBe(0);
  });

  test('a working directory that is not there is said to be', async () => {
    await expect(run('true', { cwd: '/absent' })).rejects.toMatchObject({ code: 'invalid-argument' });
  });

  test('commands that cannot be started side by side are each told their own reason', async () => {
    const reasons: Record<string, () => Promise<unknown>> = {
      'not-found': () => session.exec('no-such-program'),
      'permission-denied': () => session.exec('/etc/passwd'),
      'invalid-argument': () => session.exec('true', [], { cwd: '/absent' }),
    };
    for (let round = 0; round < 5; round++) {
      const told = Object.values(reasons).map((start) => start().catch(({ code }: DriverError) => code));
      expect(await Promise.all(told)).toEqual(Object.keys(reasons));
    }
  });

  test('a long argument list arrives whole', async () => {
    const args = Array.from({ length: 2_000 }, (_, i) => `argument-${i}-${'x'.repeat(40)}`);
    const { stdout } = await session.exec('sh', [
      '-c',
      'echo $#; for a; do echo "$a"; done | sha256sum',
      'sh',
      ...args,
    ]);
    expect(stdout.startsWith('2000\n')).toBe(true);
    const big = 'y'.repeat(100_000);
    expect((await session.exec('echo', ['-n', big])).stdout).toBe(big);
  });
});

describe('output', () => {
  test('listeners get text, never half a character, and the streams apart', async () => {
    const seen = { out: [] as string[], err: [] as string[] };
    const script = 'for i in 1 2 3; do printf "\\342\\202"; sleep 0.05; printf "\\254"; done; printf "\\360\\237" >&2';
    const result = await run(script, {
      onStdout: (text) => seen.out.push(text),
      onStderr: (text) => seen.err.push(text),
    });
    // How much comes at once is the machine's affair.
    expect(seen.out.join('')).toBe('€€€');
    expect(result.stdout).toBe('€€€');
    // Half a character at the very end is all there is of it.
    expect(seen.err.join('')).toBe('\ufffd');
  });

  test('comes while the command runs', async () => {
    let firstAt = 0;
    // A command runs for longer than we know of it.
    const { durationMs } = await run(`echo first; sleep ${relax(1)}; echo second`, {
      onStdout: () => {
        firstAt ||= Date.now();
      },
    });
    expect(Date.now() - firstAt).toBeGreaterThan(relax(700));
    expect(durationMs).toBeGreaterThan(relax(900));
  });

  test('a listener that throws ends the command, not the program', async () => {
    const onStdout = () => {
      throw new Error('listener broke');
    };
    await expect(run('echo x; sleep 1000', { onStdout })).rejects.toThrow('listener broke');
    expect(await session.executions.list()).toEqual([]);
  });

  test('beyond maxBuffer is counted while the command runs on', async () => {
    const script = 'yes | head -c 5000000; yes | head -c 300 >&2; exit 7';
    const result = await run(script, { maxBuffer: 1_000 });
    expect(result).toMatchObject({ exitCode: 7, truncated: { stdout: 4_999_000, stderr: 0 } });
    expect([result.stdout.length, result.stderr.length]).toEqual([1_000, 300]);
    expect(await run('echo x', { maxBuffer: 0 })).toMatchObject({ stdout: '', truncated: { stdout: 2, stderr: 0 } });
  });
});

describe('tty', () => {
  test('has the size asked for, and another when it is resized', async () => {
    const script = 'trap "stty size; exit 3" WINCH; stty size; while :; do sleep 0.05; done';
    const execution = await session.spawn('sh', ['-c', script], { tty: { cols: 101, rows: 33 } });
    let seen = '';
    for await (const { data } of execution) {
      seen += Buffer.from(data).toString();
      if (seen === '33 101\r\n') await execution.resize(77, 22);
    }
    expect(seen).toBe('33 101\r\n22 77\r\n');
    expect((await execution.result()).exitCode).toBe(3);
    expect((await run('stty size', { tty: true })).stdout).toBe('24 80\r\n');
  });

  test('merges stderr, ends lines with CRLF and is a terminal', async () => {
    const result = await run('test -t 0 && test -t 1 && test -t 2 && echo out; echo err >&2; echo $TERM', {
      tty: true,
    });
    expect(result).toMatchObject({ exitCode: 0, stdout: 'out\r\nerr\r\nxterm\r\n', stderr: '' });
  });

  test('large output is complete, and no terminal stays behind', async () => {
    for (let i = 0; i < 2; i++) {
      const { stdout } = await run('seq 1 100000', { tty: true });
      expect(stdout.length).toBe(588_895 + 100_000);
      expect(stdout.endsWith('100000\r\n')).toBe(true);
    }
    await expect.poll(async () => (await run('ls /dev/pts')).stdout).toBe('ptmx\n');
  });

  test('resize without one fails', async () => {
    await using execution = await session.spawn('sleep', ['1000']);
    await expect(execution.resize(1, 1)).rejects.toThrow();
  });
});

test('no hidden timeout: a command that is silent for long is left alone', async () => {
  expect(await silent.execution.result()).toMatchObject({ exitCode: 0, stdout: 'late\n' });
  expect(Date.now() - silent.startedAt).toBeGreaterThan(11_900);
});
