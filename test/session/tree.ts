/** A session's files as it sees them itself, to compare with what the library says of them. */
import { expect } from 'vitest';
import type { FileChange, Session } from '../../src/index.js';

/** Paths of the root file system, `/` and mounts left out, with all that makes them what they are. */
export type Tree = Map<string, string>;

/** Of directories neither size nor time count: they change with what is in them. */
const WALK = `
find / -xdev -mindepth 1 ! -type f -exec stat -c '%n|%F|%a|%u|%g|%t:%T' {} +
find / -xdev -type f -exec stat -c '%n|%F|%a|%u|%g|%s|%Y' {} +
find / -xdev -type l -exec sh -c 'for p; do echo "$p|$(readlink "$p")"; done' - {} +
find / -xdev -type f -exec sha256sum {} + | sed 's/^\\([0-9a-f]*\\)  \\(.*\\)$/\\2|\\1/'
`;

export async function readTree(session: Session): Promise<Tree> {
  const { stdout, stderr, exitCode } = await session.exec('sh', ['-c', WALK]);
  expect({ stderr, exitCode }).toEqual({ stderr: '', exitCode: 0 });
  const tree: Tree = new Map();
  for (const line of stdout.trimEnd().split('\n')) {
    const path = line.slice(0, line.indexOf('|'));
    // What is mounted there is no part of the root file system.
    if (/^\/(proc|sys|dev|tmp|run)$/.test(path)) continue;
    tree.set(path, `${tree.get(path) ?? ''} ${line.slice(path.length + 1)}`);
  }
  expect(tree.size).toBeGreaterThan(100);
  return tree;
}

export function compareTrees(before: Tree, after: Tree): FileChange[] {
  const changes: FileChange[] = [];
  for (const [path, what] of after) {
    if (!before.has(path)) changes.push({ path, kind: 'add' });
    else if (before.get(path) !== what) changes.push({ path, kind: 'modify' });
  }
  for (const path of before.keys()) if (!after.has(path)) changes.push({ path, kind: 'delete' });
  return changes.sort((one, other) => (one.path < other.path ? -1 : 1));
}
