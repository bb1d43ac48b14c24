import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Session } from '../../src/session/session.js';
import { AGENT } from '../support/busybox.js';
import { onlyOn } from '../support/context.js';
import { countDescriptors } from '../support/leaks.js';
import { offline, openProvider } from '../support/provider.js';

const MIB = 1024 * 1024;
const provider = await openProvider({ executor: 'supervisor' });
const hash = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');

let session: Session;
beforeAll(async () => {
  const small = { type: 'tmpfs', path: '/small', sizeBytes: 4 * MIB, readOnly: false } as const;
  session = await provider.createSession({ user: 'agent', mounts: [small] });
});
afterAll(() => session.destroy());

const read = async (path: string | Uint8Array) => Buffer.from(await session.files.readFile(path)).toString();
const sh = async (script: string) => (await session.exec('sh', ['-c', script])).stdout;

describe('files of a session', () => {
  test('64 MiB are the same, written and read, whole and as a stream', async () => {
    const data = randomBytes(64 * MIB);
    await session.files.writeFile('/tmp/big', Readable.from(cut(data, 100_000)), { mode: 0o640 });
    expect(await sh('sha256sum < /tmp/big; stat -c "%a %u" /tmp/big; ls -A /tmp')).toBe(
      `${hash(data)}  -\n640 ${AGENT.uid}\nbig\n`,
    );
    expect(hash(await session.files.readFile('/tmp/big'))).toBe(hash(data));
    const sum = createHash('sha256');
    for await (const chunk of session.files.createReadStream('/tmp/big')) sum.update(chunk);
    expect(sum.digest('hex')).toBe(hash(data));
    const refused = session.files.readFile('/tmp/big', { maxBytes: data.length - 1 });
    await expect(refused).rejects.toMatchObject({ code: 'out-of-range', message: expect.stringContaining('/tmp/big') });
    await session.files.rm('/tmp/big');
  });

  test('a reader that is slow holds up nothing else, one that leaves ends it', async () => {
    await session.files.writeFile('/tmp/long', Buffer.alloc(8 * MIB, 'x'));
    const before = await countProcesses();
    const slow = session.files.createReadStream('/tmp/long')[Symbol.asyncIterator]();
    await slow.next();
    for (let round = 0; round < 20; round++) expect((await session.files.stat('/tmp/long')).size).toBe(8 * MIB);
    await slow.return?.();
    await expect.poll(countProcesses).toBeLessThanOrEqual(before);
    await session.files.rm('/tmp/long');
  });

  test('a name is whatever bytes the kernel takes', async () => {
    const odd = Buffer.from('/tmp/odd/\xff\n name', 'latin1');
    await session.files.mkdir('/tmp/odd');
    await session.files.writeFile(odd, 'kept');
    await session.files.writeFile('/tmp/odd/-rf é', new Uint8Array());
    await session.files.writeFile('/tmp/odd/.hidden', Readable.from(['one', Buffer.from(' two')]));
    const entries = await session.files.readdir('/tmp/odd');
    expect(entries.map(({ name, type, size }) => ({ name, type, size }))).toEqual([
      { name: '-rf é', type: 'file', size: 0 },
      { name: '.hidden', type: 'file', size: 7 },
      { name: '\ufffd\n name', type: 'file', size: 4 },
    ]);
    expect(await read(Buffer.concat([Buffer.from('/tmp/odd/'), entries[2]?.nameBytes ?? Buffer.of()]))).toBe('kept');
    await expect(session.files.rm('/tmp/odd')).rejects.toMatchObject({ code: 'failed-precondition' });
    await session.files.rm('/tmp/odd', { recursive: true });
    expect(await session.files.exists('/tmp/odd')).toBe(false);
  });

  test('10,000 names are listed, and removed with all that is below', async () => {
    await sh('mkdir -p /tmp/many/deep/er; cd /tmp/many; seq 10000 | xargs touch; ln -s /etc link; touch deep/er/x');
    const entries = await session.files.readdir('/tmp/many');
    expect(entries).toHaveLength(10_002);
    expect(entries.find(({ name }) => name === 'link')?.type).toBe('symlink');
    await expect(session.files.readdir('/tmp/many', { maxEntries: 10_001 })).rejects.toMatchObject({
      code: 'out-of-range',
    });
    await session.files.rm('/tmp/many', { recursive: true });
    expect(await sh('ls -A /tmp; cat /etc/passwd | wc -l')).toBe('3\n');
  });

  test('links lead where they lead inside, never to the host', async () => {
    await sh(
      'ln -s /etc/passwd /tmp/link; ln -s ../../../../../../../../etc/passwd /tmp/up; ln -s /tmp/none /tmp/dangling',
    );
    for (const path of ['/tmp/link', '/tmp/up', '/tmp/../../../../etc/passwd', '/proc/self/root/etc/passwd']) {
      expect(await read(path)).toBe(await sh('cat /etc/passwd'));
      expect(await read(path)).not.toBe(readFileSync('/etc/passwd', 'utf8'));
    }
    expect(await session.files.stat('/tmp/link', { followSymlinks: false })).toMatchObject({
      type: 'symlink',
      target: '/etc/passwd',
    });
    expect(await session.files.exists('/tmp/dangling')).toBe(false);
    // Through a link to a file, in the place of one that leads nowhere.
    await sh('echo old > /tmp/real; ln -s real /tmp/through');
    await session.files.writeFile('/tmp/through', 'new');
    await session.files.writeFile('/tmp/dangling', 'here');
    expect(await sh('cat /tmp/real; stat -c %F /tmp/through /tmp/dangling')).toBe('newsymbolic link\nregular file\n');
    await sh('rm /tmp/*');
  });

  test.each<[string, () => Promise<unknown>, string, string]>([
    ['nothing there', () => read('/none/x'), 'not-found', '"/none/x": no such file or directory (ENOENT)'],
    ['another user', () => read('/root/x'), 'permission-denied', '"/root/x": permission denied (EACCES)'],
    [
      'another owner',
      () => session.files.chmod('/etc', 0o777),
      'permission-denied',
      '"/etc": operation not permitted (EPERM)',
    ],
    [
      'another directory',
      () => session.files.writeFile('/etc/x', ''),
      'permission-denied',
      '"/etc/x": permission denied (EACCES)',
    ],
    ['a directory', () => read('/etc'), 'failed-precondition', '"/etc": illegal operation on a directory (EISDIR)'],
    ['a device', () => read('/dev/zero'), 'failed-precondition', '"/dev/zero": not a regular file (ENODEV)'],
    ['writing a device', () => session.files.writeFile('/dev/null', 'x'), 'failed-precondition', '(ENODEV)'],
    [
      'no directory',
      () => session.files.readdir('/etc/passwd'),
      'not-found',
      '"/etc/passwd": not a directory (ENOTDIR)',
    ],
    ['there already', () => session.files.mkdir('/tmp'), 'already-exists', '"/tmp": file already exists (EEXIST)'],
    ['another mount', () => session.files.rename('/small', '/tmp/small'), 'permission-denied', '"/small"'],
    ['a long name', () => read(`/${'x'.repeat(300)}`), 'invalid-argument', '(ENAMETOOLONG)'],
    ['a relative path', () => read('tmp'), 'invalid-argument', 'path = "tmp": expected an absolute path'],
    ['a NUL', () => read('/tmp\0'), 'invalid-argument', 'without NUL'],
    ['a mode', () => session.files.chmod('/tmp', 0o7777), 'invalid-argument', 'mode = 4095: expected permissions'],
    [
      'an unknown option',
      () => session.files.mkdir('/tmp/x', { recursiv: true } as object),
      'invalid-argument',
      'did you mean recursive',
    ],
    ['a command in the place of one', () => session.files.rm('/none'), 'not-found', '"/none"'],
  ])('%s is refused by name', async (_, act, code, message) => {
    await expect(act()).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
  });

  test('a FIFO is no file, and nobody waits for its writer', async () => {
    await sh('mkfifo /tmp/fifo');
    await expect(read('/tmp/fifo')).rejects.toMatchObject({ code: 'failed-precondition' });
    await session.files.rm('/tmp/fifo');
  });

  test('a full disk is told, and what was there stays', async () => {
    await session.files.writeFile('/small/kept', 'kept');
    const endless = Readable.from(repeat(Buffer.alloc(MIB)));
    await expect(session.files.writeFile('/small/kept', endless)).rejects.toMatchObject({
      code: 'resource-exhausted',
      message: '"/small/kept": no space left on device (ENOSPC)',
    });
    expect(await sh('ls -A /small; cat /small/kept')).toBe('kept\nkept');
  });

  test('what is aborted in the middle, or whose source fails, leaves what was there', async () => {
    await session.files.writeFile('/tmp/kept', 'kept', { mode: 0o600 });
    const over = new AbortController();
    const aborted = session.files.writeFile('/tmp/kept', Readable.from(repeat(Buffer.alloc(1000), 5)), {
      signal: over.signal,
    });
    setTimeout(() => over.abort(), 100);
    await expect(aborted).rejects.toMatchObject({ code: 'canceled' });
    const broken = Readable.from(failAfter(10));
    await expect(session.files.writeFile('/tmp/kept', broken)).rejects.toThrow('the source broke');
    expect(await sh('ls -A /tmp; cat /tmp/kept')).toBe('kept\nkept');
    await session.files.writeFile('/tmp/kept', 'again');
    expect((await session.files.stat('/tmp/kept')).mode).toBe(0o600);
    await expect(session.files.readFile('/tmp/kept', { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'canceled',
    });
    await session.files.rm('/tmp/kept');
  });

  test('directories, names and modes', async () => {
    await session.files.mkdir('/tmp/a/b/c', { recursive: true, mode: 0o700 });
    await session.files.mkdir('/tmp/a/b/c', { recursive: true });
    expect(await session.files.stat('/tmp/a/b/c')).toMatchObject({ type: 'dir', mode: 0o700, uid: AGENT.uid });
    await session.files.writeFile('/tmp/a/file', 'x');
    await session.files.rename('/tmp/a/file', '/tmp/a/b/c/moved');
    await session.files.chmod('/tmp/a/b/c/moved', 0o400);
    expect(await sh('stat -c "%a %n" /tmp/a/b/c/*')).toBe('400 /tmp/a/b/c/moved\n');
    await session.files.rm('/tmp/a', { recursive: true });
    await session.files.rm('/tmp/a', { recursive: true, force: true });
  });

  test('nothing is left of what was done, and no operation is a command of the session', async () => {
    const before = { descriptors: await countDescriptors(), processes: await countProcesses() };
    const reading = session.files.createReadStream('/bin/busybox')[Symbol.asyncIterator]();
    await reading.next();
    expect(await session.executions.list()).toEqual([]);
    await reading.return?.();
    for (let round = 0; round < 50; round++) await read('/etc/passwd');
    await expect.poll(countProcesses).toBeLessThanOrEqual(before.processes);
    await expect.poll(countDescriptors).toBeLessThanOrEqual(before.descriptors);
  });
});

test('a user who is root inside reaches no more than the session does', async () => {
  await using root = await provider.createSession({ readOnlyRootfs: true });
  await expect(root.files.writeFile('/x', '')).rejects.toMatchObject({
    code: 'permission-denied',
    message: '"/x": read-only file system (EROFS)',
  });
  // The policy's capabilities are what counts, not the id.
  await using bare = await provider.createSession({ capabilities: { drop: ['ALL'] } });
  const expected = await bare.exec('ls', ['/home/agent']);
  expect(expected.exitCode).not.toBe(0);
  await expect(bare.files.readdir('/home/agent')).rejects.toMatchObject({ code: 'permission-denied' });
});

test('a session that is stopped, paused or served by containerd says so', async () => {
  await using plain = await provider.createSession({ ...offline, executor: 'task' });
  await expect(plain.files.readFile('/etc/passwd')).rejects.toMatchObject({
    code: 'failed-precondition',
    message: expect.stringContaining("executor: 'supervisor'"),
  });
  await using other = await provider.createSession();
  await other.pause();
  await expect(other.files.exists('/')).rejects.toMatchObject({ code: 'failed-precondition' });
  await other.resume();
  await other.stop();
  await expect(other.files.exists('/')).rejects.toMatchObject({ code: 'failed-precondition' });
  await other.start();
  expect(await other.files.exists('/')).toBe(true);
  await other.destroy();
  await expect(other.files.exists('/')).rejects.toMatchObject({ code: 'destroyed' });
});

onlyOn(['1.6', '2.1'], 'the program is the same')('a session that goes', () => {
  test('in the middle of a write, ends it', async () => {
    await using other = await provider.createSession();
    const writing = other.files.writeFile('/x', Readable.from(repeat(Buffer.alloc(1000), 5)));
    const failed = expect(writing).rejects.toMatchObject({ code: 'destroyed' });
    await sleep(100);
    await other.destroy();
    await failed;
  });
});

async function countProcesses(): Promise<number> {
  return Number(await sh('ls -d /proc/[0-9]* | wc -l'));
}

function* cut(data: Buffer, size: number): Generator<Buffer> {
  for (let at = 0; at < data.length; at += size) yield data.subarray(at, at + size);
}

async function* repeat(chunk: Buffer, everyMs = 0): AsyncGenerator<Buffer> {
  for (;;) {
    if (everyMs > 0) await sleep(everyMs);
    yield chunk;
  }
}

async function* failAfter(count: number): AsyncGenerator<Buffer> {
  for (let round = 0; round < count; round++) yield Buffer.alloc(1000);
  throw new Error('the source broke');
}
