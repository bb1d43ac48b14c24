/** Root file systems on disk, as layers and as a list of all that is in them. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

/** GNU tar's order is the directory's: sorted, so that the same tree is the same layer. */
export function packTree(root: string): Buffer {
  const args = [
    '--sort=name',
    '--numeric-owner',
    '--format=pax',
    '--pax-option=delete=atime,delete=ctime',
    '-C',
    root,
    '-cf',
    '-',
    '.',
  ];
  return execFileSync('tar', args, { maxBuffer: 1024 ** 3 });
}

/**
 * Two layers, and `merged`, what is seen when the second lies on the first: modes, owners, links, times, empty
 * directories, `many` small files, whiteouts and a directory that hides the one below.
 */
export function makeTrees(directory: string, many: number): { layers: [string, string]; merged: string } {
  const [below, above, merged] = ['below', 'above', 'merged'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ];
  write(below, 'bin/tool', 'tool', 0o4755);
  write(below, 'etc/shadow', 'secret', 0o600);
  write(below, 'etc/removed', 'below');
  write(below, 'etc/changed', 'below');
  write(below, 'opaque/hidden', 'below');
  write(below, 'gone/deep/file', 'below');
  write(below, 'home/user/owned', 'owned', 0o640);
  chownSync(join(below, 'home/user/owned'), 1000, 2000);
  chownSync(join(below, 'home/user'), 1000, 1000);
  chmodSync(join(below, 'home/user'), 0o2750);
  mkdirSync(join(below, 'tmp'));
  chmodSync(join(below, 'tmp'), 0o1777);
  symlinkSync('../bin/tool', join(below, 'etc/tool'));
  symlinkSync('/no/such', join(below, 'etc/dangling'));
  linkSync(join(below, 'bin/tool'), join(below, 'bin/same'));
  for (let i = 0; i < many; i += 1) {
    const name = `many/${i % 100}/${i}`;
    if (i < 100) mkdirSync(join(below, `many/${i}`), { recursive: true });
    writeFileSync(join(below, name), `file ${i}`);
  }
  execFileSync('cp', ['-a', below, merged]);

  write(above, 'etc/.wh.removed', '');
  write(above, 'etc/changed', 'above', 0o755);
  write(above, 'opaque/.wh..wh..opq', '');
  write(above, 'opaque/new', 'above');
  write(above, '.wh.gone', '');
  for (const path of ['etc/removed', 'gone', 'opaque']) rmSync(join(merged, path), { recursive: true });
  execFileSync('cp', ['-a', `${above}/.`, merged]);
  for (const path of ['etc/.wh.removed', 'opaque/.wh..wh..opq', '.wh.gone']) rmSync(join(merged, path));
  // What has just been written to has a time of its own; a layer brings that of its directories.
  for (const path of ['etc', 'opaque', '']) execFileSync('touch', ['-r', join(above, path), join(merged, path)]);
  return { layers: [below, above], merged };
}

/** One line for each entry: kind, mode, owner, links, time, size or target, and the digest of a file's bytes. */
export function walkTree(root: string): string[] {
  return [
    describeEntry(root, '.'),
    ...(readdirSync(root, { recursive: true }) as string[]).sort().map((path) => describeEntry(root, path)),
  ];
}

function describeEntry(root: string, path: string): string {
  const full = join(root, path);
  const { mode, uid, gid, nlink, size, mtimeMs } = lstatSync(full);
  const kind = mode & 0o170000;
  const isFile = kind === 0o100000;
  const content = isFile
    ? createHash('sha256').update(readFileSync(full)).digest('hex')
    : kind === 0o120000
      ? readlinkSync(full)
      : '';
  const time = isFile ? Math.floor(mtimeMs / 1000) : '';
  return [path, mode.toString(8), uid, gid, isFile ? nlink : '', isFile ? size : '', time, content].join(' ');
}

function write(root: string, path: string, content: string, mode = 0o644): void {
  const full = join(root, path);
  mkdirSync(join(full, '..'), { recursive: true });
  writeFileSync(full, content);
  chmodSync(full, mode);
}
