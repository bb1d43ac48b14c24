import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Fault, Session } from '../../src/index.js';
import { listFaults } from '../support/attested.js';
import { context } from '../support/context.js';
import { countDescriptors, observe, settle } from '../support/leaks.js';
import { openProvider } from '../support/provider.js';

const host = mkdtempSync(join(tmpdir(), 'cadre-mounts-'));
chmodSync(host, 0o755);
const worktree = join(host, 'worktree');
mkdirSync(worktree);
const provider = await openProvider({ volumeRoot: join(host, 'volumes') });
const worker = await openProvider({ volumeRoot: join(host, 'volumes'), worktreePath: worktree });
const before = await observe(context);
afterAll(() => rmSync(host, { recursive: true }));

async function sh(session: Session, line: string): Promise<string> {
  const { stdout } = await session.exec('sh', ['-c', `exec 2>&1; ${line}`]);
  return stdout.trim();
}

/** A new directory of the host with these files in it. */
function make(name: string, files: Record<string, string> = {}): string {
  const path = join(host, name);
  mkdirSync(path, { recursive: true });
  for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text);
  return path;
}

describe('binds', () => {
  test('are seen inside: at their own path or a target, read-only or not, files too', async () => {
    const data = make('data', { a: 'from the host\n' });
    const output = make('output');
    await using session = await provider.createSession({
      mounts: [
        { path: data, readOnly: true },
        { path: output, target: '/out', readOnly: false, type: 'bind' },
        { path: join(data, 'a'), target: '/etc/one-file', readOnly: true },
      ],
    });
    expect(await sh(session, `cat ${data}/a /etc/one-file`)).toBe('from the host\nfrom the host');
    expect(await sh(session, `echo x > ${data}/a`)).toContain('Read-only file system');
    expect(await sh(session, 'echo written > /out/b; cat /out/b')).toBe('written');
    expect(readFileSync(join(output, 'b'), 'utf8')).toBe('written\n');
    const table = await sh(session, "grep -E ' (/out|/etc/one-file) ' /proc/self/mountinfo");
    for (const line of table.split('\n')) {
      const [, , , , , options, ...optional] = line.split(' ');
      expect(options?.split(',')).toEqual(expect.arrayContaining(['nosuid', 'nodev']));
      // No peer group: nothing spreads to either side.
      expect(optional.join(' ')).not.toMatch(/shared|master/);
    }
  });

  test('the worktree is at /workspace, where commands begin', async () => {
    writeFileSync(join(worktree, 'README'), 'work');
    await using session = await worker.createSession({ readOnlyRootfs: true });
    expect(await sh(session, 'pwd; cat README; echo done > result')).toBe('/workspace\nwork');
    expect(readFileSync(join(worktree, 'result'), 'utf8')).toBe('done\n');
    expect((await session.exec('pwd', [], { cwd: '/' })).stdout).toBe('/\n');
    const taken = { mounts: [{ path: host, target: '/workspace', readOnly: true }] };
    await expect(worker.createSession(taken)).rejects.toMatchObject({
      code: 'invalid-argument',
      faults: [{ path: 'mounts[0].target', value: '/workspace' }],
    });
  });

  test('a mount within another is seen, in whatever order they are given', async () => {
    const outer = make('outer', { 'of-outer': '' });
    mkdirSync(join(outer, 'inner'));
    const inner = make('inner', { 'of-inner': '' });
    await using session = await provider.createSession({
      mounts: [
        { path: inner, target: '/m/inner', readOnly: false },
        { path: outer, target: '/m', readOnly: true },
      ],
    });
    expect(await sh(session, 'ls /m /m/inner')).toBe('/m:\ninner\nof-outer\n\n/m/inner:\nof-inner');
    expect(await sh(session, 'touch /m/inner/x && touch /m/x')).toContain('Read-only file system');
  });

  test('read-only goes down to the file systems below, with nosuid and nodev', async () => {
    const top = make('top');
    mkdirSync(join(top, 'below'));
    execFileSync('mount', ['-t', 'tmpfs', 'below', join(top, 'below')]);
    try {
      await using session = await provider.createSession({ mounts: [{ path: top, target: '/top', readOnly: true }] });
      expect(await sh(session, 'touch /top/below/x')).toContain('Read-only file system');
      const options = (await sh(session, 'awk \'$5 == "/top/below" { print $6 }\' /proc/self/mountinfo')).split(',');
      expect(options).toEqual(expect.arrayContaining(['ro', 'nosuid', 'nodev']));
    } finally {
      execFileSync('umount', [join(top, 'below')]);
    }
  });

  test('of a link is of what it leads to', async () => {
    const real = make('real', { f: 'real' });
    symlinkSync(real, join(host, 'link'));
    await using session = await provider.createSession({
      mounts: [{ path: join(host, 'link'), target: '/l', readOnly: true }],
    });
    expect(await sh(session, 'cat /l/f')).toBe('real');
    await session.stop({ timeoutMs: 100 });
    await session.start();
    expect(await sh(session, 'cat /l/f')).toBe('real');
  });

  test('are the same for a process that connects, and after a start', async () => {
    const kept = make('kept', { f: '1' });
    await using session = await provider.createSession({ mounts: [{ path: kept, target: '/k', readOnly: false }] });
    const other = await worker.connect(session.sessionId);
    await other.stop({ timeoutMs: 100 });
    await other.start();
    expect(await sh(other, 'cat /k/f; echo 2 > /k/f')).toBe('1');
    expect(await sh(session, 'cat /k/f')).toBe('2');
  });
});

describe('sources that are refused, before anything is created:', () => {
  const state = dirname(context.address);
  mkdirSync(join(host, '.aws'));
  mkdirSync(join(host, 'volumes'));
  symlinkSync('/etc', join(host, 'to-etc'));
  symlinkSync(context.address, join(host, 'to-socket'));
  execFileSync('mknod', [join(host, 'device'), 'c', '1', '3']);

  test.each([
    ['what is not there', join(host, 'absent'), 'a path that there is on this host (ENOENT)'],
    ['what is no file', join(host, 'device'), 'a directory, a file or a socket'],
    ['/etc', '/etc', '/etc is the accounts'],
    ['a link into it', join(host, 'to-etc'), '/etc is the accounts'],
    ['a path through such a link', join(host, 'to-etc/ssl'), '/etc is the accounts'],
    ['the socket of this containerd', context.address, 'the socket of containerd'],
    ['a link to it', join(host, 'to-socket'), 'the socket of containerd'],
    ['what it is in', state, `in it is ${context.address}`],
    ['what all of it is in', tmpdir(), 'in it is '],
    ['the data of this containerd', join(context.root, 'root'), 'images and containers'],
    ['something in it', join(context.root, 'root/io.containerd.content.v1.content'), 'a containerd'],
    ['the sessions of this provider', join(context.root, 'sessions'), 'the state of all sessions'],
    ['the volumes of this provider', join(host, 'volumes'), 'volumes of all sessions'],
    ['credentials', join(host, '.aws'), 'credentials of AWS'],
  ])('%s', async (_, path, reason) => {
    await expect(provider.createSession({ mounts: [{ path, readOnly: true }] })).rejects.toMatchObject({
      code: 'invalid-argument',
      faults: [{ path: 'mounts[0].path', expected: expect.stringContaining(reason) }],
    });
    expect(await observe(context)).toEqual(before);
  });

  test('all of them at once, the worktree too', async () => {
    const bad = await openProvider({ worktreePath: '/etc' });
    const mounts = ['/proc', '/srv/absent'].map((path, index) => ({ path, target: `/m${index}`, readOnly: true }));
    const { faults } = await bad.createSession({ mounts }).catch((error) => error);
    expect(faults.map(({ path, value }: Fault) => [path, value])).toEqual([
      ['mounts[1].path', '/srv/absent'],
      ['worktreePath', '/etc'],
      ['mounts[0].path', '/proc'],
    ]);
  });

  test('the state of this containerd, wherever it is, when a session shows where', async () => {
    await using session = await provider.createSession();
    expect(session.sessionId).toBeDefined();
    await expect(
      provider.createSession({ mounts: [{ path: join(context.root, 'state'), readOnly: true }] }),
    ).rejects.toMatchObject({ faults: [{ path: 'mounts[0].path' }] });
  });

  test('what the operator allows by its exact path is mounted, and told', async () => {
    const operator = await openProvider({ allowHostPaths: ['/etc/ssl', join(host, '.aws')] });
    const warned = once(process, 'warning');
    await using session = await operator.createSession({
      mounts: [{ path: join(host, 'to-etc/ssl'), target: '/ssl', readOnly: true }],
    });
    expect((await session.exec('ls', ['/ssl'])).stdout).toContain('certs');
    const [warning] = await warned;
    expect(warning).toMatchObject({
      code: 'CADRE_HOST_PATH',
      message: expect.stringContaining('/etc/ssl is mounted at /ssl'),
    });
    // Neither what is above nor what is below; and whoever does not allow it does not start it again either.
    for (const path of ['/etc', '/etc/ssl/certs']) {
      await expect(operator.createSession({ mounts: [{ path, readOnly: true }] })).rejects.toMatchObject({
        code: 'invalid-argument',
      });
    }
    const other = await provider.connect(session.sessionId);
    await other.stop({ timeoutMs: 100 });
    await expect(other.start()).rejects.toMatchObject({ code: 'failed-precondition' });
    await session.start();
  });
});

test('a fork has the mounts of its parent, and a session that is verified has what its record says', async () => {
  const shared = make('shared', { f: 'of both' });
  await using session = await worker.createSession({
    mounts: [
      { path: shared, target: '/s', readOnly: true },
      { path: 'cache', target: '/cache', type: 'volume', readOnly: false },
      { path: '/scratch', type: 'tmpfs', readOnly: false, sizeBytes: 2 ** 20 },
    ],
    secrets: [{ name: 'key', value: 'planted' }],
  });
  expect(listFaults(await session.verify())).toEqual([]);
  await sh(session, 'echo kept > /cache/f');
  expect(await sh(session, 'dd if=/dev/zero of=/scratch/f bs=1024 count=2048')).toContain('No space left');
  const policy = { mounts: [{ path: shared, target: '/s', readOnly: true }] };
  const [fork] = await session.fork({ policy });
  expect(await sh(fork as Session, 'cat /s/f; echo; pwd')).toBe('of both\n/workspace');
  await fork?.destroy();
});

test('no descriptor is kept for a mount', async () => {
  const create = () => provider.createSession({ mounts: [{ path: make('held'), target: '/h', readOnly: true }] });
  await (await create()).destroy();
  const descriptors = await countDescriptors();
  for (let round = 0; round < 3; round++) await (await create()).destroy();
  await expect(
    worker.createSession({
      mounts: [
        { path: host, readOnly: true },
        { path: '/etc', readOnly: true },
      ],
    }),
  ).rejects.toThrow();
  await expect.poll(countDescriptors).toBe(descriptors);
});

test('nothing of all this is left', async () => {
  expect(await settle(context, before)).toEqual(before);
});
