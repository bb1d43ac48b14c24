import { type FileChange, listChanges } from '../image/changes.js';
import { createImage, readImage } from '../image/commit.js';
import { type DiffOptions, withView, writeDiff } from '../image/diff.js';
import type { Image } from '../image/image.js';
import { withOwnLease } from '../image/lease.js';
import { makeReadOnly } from '../image/mounts.js';
import { normalizeReference } from '../image/reference.js';
import { abortSignal, accept, checkOptions, type Rule } from '../policy/rule.js';
import { text } from '../policy/schema.js';
import type { SessionContext } from './context.js';
import type { SessionRecord } from './record.js';
import { refuseMapped, whileStill, withRootfs } from './rootfs-state.js';
import { readMounts } from './task.js';

/** The new image, and how its layer is made. */
export interface CommitOptions extends DiffOptions {
  /** Name of the new image; an image that has it is replaced. */
  image: string;
  /** For the image's history. */
  comment?: string;
}

const rules: Record<keyof CommitOptions, Rule> = {
  image: text(),
  comment: text(),
  compression: accept((value) => value === 'none' || value === 'gzip', 'none or gzip'),
  signal: abortSignal,
};

export async function diffSession(context: SessionContext, record: SessionRecord): Promise<FileChange[]> {
  refuseMapped(record, 'diff');
  const { channel } = context;
  const { id, snapshotter } = record;
  const { chainId } = await readImage(channel, { name: record.image, manifest: record.manifest });
  return withOwnLease(channel, (leased) =>
    withView(leased.channel, snapshotter, chainId, (left) =>
      withRootfs(context, record, () =>
        whileStill(channel, id, async () => {
          const right = makeReadOnly(await readMounts(channel, snapshotter, id));
          return listChanges(leased, { left, right });
        }),
      ),
    ),
  );
}

/** Snapshots.Commit would be cheaper, but of a mounted snapshot it makes a layer that is still being written to. */
export async function commitSession(
  context: SessionContext,
  record: SessionRecord,
  options: CommitOptions,
): Promise<Image> {
  checkOptions('commit options', options, rules, ['image']);
  refuseMapped(record, 'commit');
  const { image, comment = '', compression, signal } = options;
  const name = normalizeReference(image);
  const { channel } = context;
  const { id, snapshotter } = record;
  const from = await readImage(channel, { name: record.image, manifest: record.manifest, signal });
  return withOwnLease(
    channel,
    async (leased) => {
      const layer = await withView(leased.channel, snapshotter, from.chainId, (left) =>
        withRootfs(context, record, () =>
          whileStill(channel, id, async () => {
            const right = makeReadOnly(await readMounts(channel, snapshotter, id));
            return writeDiff(leased, { left, right }, { compression, signal });
          }),
        ),
      );
      const origin = { session: id, image: record.image };
      return createImage(leased, { name, from, layer, origin, comment }, { snapshotter, signal });
    },
    { signal },
  );
}
