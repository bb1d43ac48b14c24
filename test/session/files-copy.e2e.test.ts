import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, expect, test } from 'vitest';
import { cadre } from '../cli/cadre.js';
import { dockerArchive } from '../image/archives.js';
import { context } from '../support/context.js';
import { openProvider } from '../support/provider.js';
import { packTar } from '../support/tar.js';

const provider = await openProvider({ executor: 'supervisor' });
const place = mkdtempSync(join(tmpdir(), 'copy-'));
afterAll(() => rmSync(place, { recursive: true }));

/** What of a tree is compared: kinds, modes, contents and where links lead. */
function describeTree(path: string | Buffer): unknown {
  const facts = statSync(path);
  if (facts.isFile()) return [facts.mode & 0o777, readFileSync(path).toString('hex')];
  const entries = readdirSync(path, { withFileTypes: true, encoding: 'buffer' }).map((entry) => {
    const below = Buffer.concat([Buffer.from(path), Buffer.from('/'), entry.name]);
    const what = entry.isSymbolicLink() ? readlinkSync(below) : describeTree(below);
    return [entry.name.toString('hex'), what];
  });
  return [facts.mode & 0o777, Object.fromEntries(entries)];
}

function makeTree(): string {
  const tree = join(place, 'tree');
  mkdirSync(join(tree, 'empty'), { recursive: true });
  mkdirSync(join(tree, 'deep/er'), { recursive: true });
  writeFileSync(join(tree, 'program'), '#!/bin/sh\n', { mode: 0o755 });
  writeFileSync(join(tree, 'deep/er/zero'), '');
  writeFileSync(join(tree, 'deep/bytes'), Buffer.alloc(300_000, 7), { mode: 0o600 });
  writeFileSync(Buffer.concat([Buffer.from(`${tree}/`), Buffer.from('\xe9\n', 'latin1')]), 'odd');
  symlinkSync('deep/bytes', join(tree, 'link'));
  symlinkSync('/etc/shadow', join(tree, 'out'));
  chmodSync(join(tree, 'empty'), 0o500);
  chmodSync(join(tree, 'deep'), 0o555);
  return tree;
}

test('a directory goes up and comes down as it was', async () => {
  await using session = await provider.createSession();
  const tree = makeTree();
  const report = { files: 4, bytes: 300_013, skipped: [] };
  expect(await session.files.upload(tree, '/root/new/tree')).toEqual(report);
  // Once more over what is there.
  expect(await session.files.upload(tree, '/root/new/tree')).toEqual(report);
  expect((await session.exec('ls', ['-lR', '/root/new/tree'])).stdout).not.toContain('.cadre-');
  await session.exec('mkfifo', ['/root/new/tree/fifo']);
  const down = join(place, 'down');
  expect(await session.files.download('/root/new/tree', down)).toEqual({
    ...report,
    skipped: ['/root/new/tree/fifo'],
  });
  expect(describeTree(down)).toEqual(describeTree(tree));
  // Nothing of the session is written through what the host has there.
  await expect(session.files.download('/root/new/tree', down)).rejects.toMatchObject({ code: 'already-exists' });
  await expect(session.files.upload(join(place, 'none'), '/x')).rejects.toMatchObject({ code: 'not-found' });
  await expect(session.files.download('/none', join(place, 'none'))).rejects.toMatchObject({ code: 'not-found' });
  await expect(session.files.download('/etc/passwd', join(place, 'none/x'))).rejects.toMatchObject({
    code: 'not-found',
    message: expect.stringContaining('on the host'),
  });
  expect(readdirSync(place).sort()).toEqual(['down', 'tree']);
});

test('an image without any program has its files served', async () => {
  const reference = 'registry.test/library/empty:1';
  await provider.importImage(Readable.from([packEmptyImage(reference)]));
  await using session = await provider.createSession({ image: reference });
  await expect(session.exec('sh')).rejects.toMatchObject({ code: 'not-found' });
  expect(Buffer.from(await session.files.readFile('/only')).toString()).toBe('this\n');
  await session.files.mkdir('/made/here', { recursive: true });
  await session.files.writeFile('/made/here/file', 'x');
  expect((await session.files.readdir('/made/here')).map(({ name }) => name)).toEqual(['file']);
  await session.files.rm('/made', { recursive: true });
  expect(await session.files.exists('/made')).toBe(false);
});

test('cadre-containerd cp, both ways', async () => {
  await using session = await provider.createSession({ name: 'boxed' });
  const copy = (...args: string[]) => cadre('cp', '--state-root', context.stateRoot, ...args);
  const file = join(place, 'a:b');
  writeFileSync(file, 'mine');
  expect(copy(file, 'boxed:/tmp')).toEqual({ status: 0, stdout: '', stderr: '' });
  expect(copy(file, 'boxed:/root/c')).toMatchObject({ status: 0 });
  expect((await session.exec('cat', ['/tmp/a:b', '/root/c'])).stdout).toBe('minemine');
  expect(JSON.parse(copy('--json', 'boxed:/root/c', place).stdout)).toEqual({ files: 1, bytes: 4, skipped: [] });
  expect(readFileSync(join(place, 'c'), 'utf8')).toBe('mine');
  expect(copy('boxed:/none', place)).toMatchObject({ status: 1, stderr: expect.stringContaining('"/none": no such') });
  expect(copy('/a', '/b')).toMatchObject({ status: 2, stderr: expect.stringContaining('SESSION:PATH') });
  rmSync(join(place, 'c'));
});

function packEmptyImage(reference: string): Buffer {
  return dockerArchive({ layers: [packTar([{ path: 'only', data: 'this\n' }])], item: { RepoTags: [reference] } });
}
