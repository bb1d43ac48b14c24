import { createHash, randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { Session } from '../../src/index.js';
import { openAbuse } from './probe.js';

const directory = mkdtempSync(join(tmpdir(), 'cadre-escape-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));
const secret = randomBytes(16).toString('hex');
const marker = join(directory, 'marker');
writeFileSync(marker, secret, { mode: 0o644 });
const target = join(directory, 'target');
mkdirSync(target);

/** Far enough for any place. */
const UP = '../'.repeat(16);
const DESCRIPTORS = Array.from({ length: 32 }, (_, number) => number);

const { provider } = await openAbuse([
  { path: 'links/' },
  // Of descriptors that a runtime may have left open in the process that becomes a command (CVE-2024-21626).
  ...DESCRIPTORS.map((number) => ({ path: `links/${number}`, symlink: `/proc/self/fd/${number}` })),
  { path: 'links/away', symlink: `${UP}${target}` },
  { path: 'links/absolute', symlink: target },
  { path: 'links/proc', symlink: '/proc/self' },
  // The program that runs this is, at that moment, the runtime's own (CVE-2019-5736).
  { path: 'bin/evil', mode: 0o755, data: '#!/proc/self/exe\n' },
]);

const sh = async (session: Session, script: string, options = {}) => session.exec('sh', ['-c', script], options);

test('a working directory below /proc is refused, and one that leads there reads nothing of the host', async () => {
  await using session = await provider.createSession();
  for (const cwd of ['/proc/self/fd/7', '/proc/1/root', '/proc/self/cwd', '/tmp/../proc/self/fd/7']) {
    await expect(session.exec('true', [], { cwd })).rejects.toMatchObject({
      code: 'invalid-argument',
      faults: [expect.objectContaining({ path: 'cwd', value: cwd })],
    });
  }
  for (const number of DESCRIPTORS) {
    const attempt = sh(session, `cat ${UP}${marker}; cat ./${UP}${marker}; pwd -P; ls -di .`, {
      cwd: `/links/${number}`,
    });
    // Most of them lead nowhere, and cannot be started in.
    const { stdout } = await attempt.catch((error: Error) => ({ stdout: error.message }));
    expect(stdout, `descriptor ${number}`).not.toContain(secret);
  }
  // What a command holds open itself is what it may go to.
  const { stdout } = await sh(session, 'exec 9</home; cd /proc/self/fd/9 && pwd -P');
  expect(stdout.trim()).toBe('/home');
  expect(readFileSync(join('/', UP, marker), 'utf8')).toBe(secret);
});

function findRunc(): string {
  const places = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  const found = places.map((place) => join(place, 'runc')).find((path) => existsSync(path));
  if (found === undefined) throw new Error('no runc on this machine: run scripts/setup.sh');
  return realpathSync(found);
}

test('the runtime’s program cannot be written while it starts a command', async () => {
  const runc = findRunc();
  const digest = () => createHash('sha256').update(readFileSync(runc)).digest('hex');
  const before = digest();
  const { dev, ino } = statSync(runc);
  const env = { RUNTIME_DEVICE: String(dev), RUNTIME_INODE: String(ino) };
  await using session = await provider.createSession({ executor: 'task' });
  // Looks for the runtime among the session's processes, and opens its program for writing by way of a descriptor.
  await using hunter = await session.spawn('hunt', [], { env });
  const answers = await Promise.allSettled(Array.from({ length: 12 }, () => session.exec('/bin/evil')));
  expect(answers).toHaveLength(12);
  await sh(session, 'touch /tmp/end');
  const { stdout } = await hunter.result();
  const [seen, opened] = stdout.trim().split(' ').map(Number);
  expect(seen, 'times that the runtime was seen').toBeGreaterThan(0);
  expect(opened, 'times that it could be opened for writing').toBe(0);
  expect(digest()).toBe(before);
});

test.each([
  ['away', '/links/away'],
  ['absolute', '/links/absolute'],
])('a mount at a link of the image that leads %s stays in the session', async (_, path) => {
  await using session = await provider.createSession({ mounts: [{ path, type: 'tmpfs', readOnly: false }] });
  expect((await sh(session, `echo inside > ${path}/file && cat ${target}/file`)).stdout).toBe('inside\n');
  expect(readdirSync(target)).toEqual([]);
});

test('a mount at a link of the image that leads into /proc is refused, and nothing of the session is left', async () => {
  // runc itself refuses all but a tmpfs (CVE-2019-16884).
  const creation = provider.createSession({ mounts: [{ path: '/links/proc/attr', type: 'tmpfs', readOnly: false }] });
  await expect(creation).rejects.toMatchObject({
    code: 'aborted',
    message: expect.stringContaining('a link there, to /proc/self/attr'),
  });
});

test('arguments and environments that are too large are refused, inside by the kernel', async () => {
  await using session = await provider.createSession();
  const large = 'x'.repeat(3 * 1024 * 1024);
  await expect(session.exec('true', [large])).rejects.toMatchObject({ code: 'invalid-argument' });
  await expect(session.exec('true', [], { env: { A: large } })).rejects.toMatchObject({ code: 'invalid-argument' });
  const { stderr } = await sh(session, 'x=$(head -c 300000 /dev/zero | tr "\\0" x); /bin/busybox true "$x"');
  expect(stderr).toMatch(/Argument list too long/);
  expect((await session.exec('true')).exitCode).toBe(0);
});
