import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import type { CreateOptions, Session } from '../../../src/index.js';
import { Channel } from '../../../src/rpc/channel.js';
import { readTask } from '../../../src/session/task.js';
import { context } from '../../support/context.js';
import { openProvider } from '../../support/provider.js';

const provider = await openProvider({ executor: 'supervisor' });
const channel = new Channel(context);
const directory = mkdtempSync(join(tmpdir(), 'cadre-hostile-'));
const program = join(directory, 'hostile');
const source = fileURLToPath(new URL('hostile.c', import.meta.url));
execFileSync('gcc', ['-O1', '-Wall', '-Werror', '-static', '-o', program, source]);
afterAll(() => {
  channel.close();
  rmSync(directory, { recursive: true });
});

const mounts = [{ path: program, target: '/hostile', readOnly: true }];
const names = new Map(Object.entries(constants.errno).map(([name, number]) => [String(number), name]));

async function readStatus(session: Session): Promise<string> {
  const { pid } = await readTask(channel, session.sessionId);
  return readFileSync(`/proc/${pid}/status`, 'utf8');
}

/** The lines of proc_pid_status(5) that say what a process may do. */
function pickRights(status: string): string[] {
  return status.match(/^(Cap\w+|NoNewPrivs|Seccomp|Groups|Uid|Gid):.*$/gm) ?? [];
}

interface Attacker {
  options: CreateOptions;
  /** Of the command that attacks; the session's without it. */
  user?: string;
}

const attackers: [string, Attacker][] = [
  ['root inside', { options: {} }],
  ['root inside, whose calls nobody filters', { options: { seccomp: 'unconfined', noNewPrivileges: false } }],
  ['the user that it runs as', { options: { user: '1000:1000', seccomp: 'unconfined' } }],
  ['another user', { options: { seccomp: 'unconfined' }, user: '1000:1000' }],
];

describe.each(attackers)('%s', (_, { options, user }) => {
  test('neither looks into the supervisor, nor ends, nor replaces it', async () => {
    await using session = await provider.createSession({ ...options, mounts });
    const before = await readStatus(session);
    const { stdout, exitCode } = await session.exec('/hostile', [], user === undefined ? {} : { user });
    expect(exitCode).toBe(0);
    const outcomes = stdout
      .trim()
      .split('\n')
      .map((line) => line.split(' '));
    expect(outcomes).toHaveLength(22);
    const met = outcomes.map(([name, number = '']) => `${name} ${names.get(number) ?? number}`);
    expect(met.filter((each) => !/ (EPERM|EACCES|EROFS|EBUSY|ETXTBSY)$/.test(each))).toEqual([]);
    expect((await session.exec('echo', ['still'])).stdout).toBe('still\n');
    expect(pickRights(await readStatus(session))).toEqual(pickRights(before));
  });
});

describe('what it may do', () => {
  test('nothing, where the session has a single user', async () => {
    await using session = await provider.createSession({ user: '1000:1000' });
    const rights = pickRights(await readStatus(session));
    for (const set of ['Prm', 'Eff', 'Inh', 'Amb']) expect(rights).toContain(`Cap${set}:\t${'0'.repeat(16)}`);
    expect(rights).toEqual(expect.arrayContaining(['NoNewPrivs:\t1', 'Seccomp:\t2']));
  });

  test.each([
    ['root', {}],
    ['root, with less and more', { capabilities: { add: ['NET_RAW'], drop: ['KILL'] } }],
    ['a user with a capability', { user: '1000:1000', capabilities: { add: ['NET_RAW'] } }],
  ])('what its commands may, and no more: %s', async (_, options: CreateOptions) => {
    await using session = await provider.createSession(options);
    const { stdout } = await session.exec('cat', ['/proc/self/status']);
    expect(pickRights(stdout)).toEqual(pickRights(await readStatus(session)));
    await using plain = await provider.createSession({ ...options, executor: 'task' });
    expect(pickRights((await plain.exec('cat', ['/proc/self/status'])).stdout)).toEqual(pickRights(stdout));
  });

  test('a command gets none of its descriptors', async () => {
    await using session = await provider.createSession();
    const { stdout } = await session.exec('ls', ['/proc/self/fd']);
    // The last is the directory that ls reads.
    expect(stdout).toBe('0\n1\n2\n3\n');
  });
});
