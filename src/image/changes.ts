import { posix } from 'node:path';
import { ReadableStream } from 'node:stream/web';
import { createTarDecoder } from 'modern-tar';
import type { Mount } from '../generated/github.com/containerd/containerd/api/types/mount.js';
import { streamBlob } from './content.js';
import { writeDiff } from './diff.js';
import type { Leased } from './lease.js';

/** How a path differs from what it was. */
export interface FileChange {
  /** Absolute, within the root file system. */
  path: string;
  /** What became of it. */
  kind: 'add' | 'modify' | 'delete';
}

/** What a layer says: of paths what they are, and what it takes away from below. */
interface LayerContent {
  entries: Map<string, { isDirectory: boolean; attributes: string }>;
  whiteouts: Set<string>;
}

const WHITEOUT = '.wh.';

/**
 * Every path that differs between two file systems: in content, kind, mode, owner, capabilities or, of files, the time
 * of modification. A layer tells what changed, not what was new, and names parents that did not change; the layer of
 * the way back tells the rest, by the same comparison, so that no kind of snapshot has to be understood here.
 */
export async function listChanges(
  leased: Leased,
  { left, right }: { left: Mount[]; right: Mount[] },
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<FileChange[]> {
  const there = await readLayer(leased, await writeDiff(leased, { left, right }, { signal }), signal);
  const back = await readLayer(leased, await writeDiff(leased, { left: right, right: left }, { signal }), signal);
  return compareLayers(there, back);
}

function compareLayers(there: LayerContent, back: LayerContent): FileChange[] {
  const changes: FileChange[] = [];
  for (const [path, now] of there.entries) {
    const before = back.entries.get(path);
    if (before === undefined) {
      // A file that only got another name is in the layer too, and nothing of it is in the way back.
      if (isGone(path, back)) changes.push({ path, kind: 'add' });
    } else if (!now.isDirectory || !before.isDirectory || now.attributes !== before.attributes) {
      changes.push({ path, kind: 'modify' });
    }
  }
  for (const path of back.entries.keys()) {
    if (!there.entries.has(path) && isGone(path, there)) changes.push({ path, kind: 'delete' });
  }
  return changes.sort((one, other) => (one.path < other.path ? -1 : 1));
}

/** Whether a layer takes away what was at the path, or puts something else than a directory above it. */
function isGone(path: string, { entries, whiteouts }: LayerContent): boolean {
  if (whiteouts.has(path)) return true;
  for (let parent = posix.dirname(path); parent !== '/'; parent = posix.dirname(parent)) {
    if (whiteouts.has(parent) || entries.get(parent)?.isDirectory === false) return true;
  }
  return false;
}

async function readLayer(
  { channel }: Leased,
  { blob }: { blob: { digest: string } },
  signal: AbortSignal | undefined,
): Promise<LayerContent> {
  const content: LayerContent = { entries: new Map(), whiteouts: new Set() };
  const bytes = ReadableStream.from(streamBlob(channel, blob.digest, { signal }));
  for await (const { header, body } of bytes.pipeThrough(createTarDecoder({ strict: true }))) {
    const path = posix.join('/', header.name.replace(/\/$/, ''));
    const name = posix.basename(path);
    if (name.startsWith(WHITEOUT)) {
      content.whiteouts.add(posix.join(posix.dirname(path), name.slice(WHITEOUT.length)));
    } else {
      const { mode, uid, gid, pax = {} } = header;
      const capability = pax['SCHILY.xattr.security.capability'];
      content.entries.set(path, {
        isDirectory: header.type === 'directory',
        attributes: JSON.stringify([mode, uid, gid, capability]),
      });
    }
    await body.cancel();
  }
  return content;
}
