/** A snapshot as the host sees it. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Mount } from '../../src/generated/github.com/containerd/containerd/api/types/mount.js';

export function withMounted<T>(mounts: Mount[], look: (root: string) => T): T {
  const [mount, ...more] = mounts;
  if (mount === undefined || more.length > 0) throw new Error('expected one mount');
  const root = mkdtempSync(join(tmpdir(), 'cadre-mount-'));
  const options = mount.options.filter((option) => !/^(index=|rbind$)/.test(option));
  const args = mount.type === 'bind' ? ['--bind', mount.source, root] : ['-t', mount.type, mount.source, root];
  execFileSync('mount', [...args, '-o', options.join(',')]);
  try {
    return look(root);
  } finally {
    execFileSync('umount', [root]);
    rmdirSync(root);
  }
}
