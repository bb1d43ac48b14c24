import { randomBytes } from 'node:crypto';
import { withOwnLease } from '../image/lease.js';
import { prepareRootfs } from '../image/rootfs.js';
import type { OciSpec } from '../spec/types.js';
import { resolveUser } from '../spec/user.js';
import { keepRestrictions, listOwnBinds } from './binds.js';
import type { SessionContext } from './context.js';
import type { CreateRequest } from './create.js';
import { pinSources } from './pins.js';
import { readUserFiles } from './user-files.js';

/**
 * The document of a session that is not created. Sources of mounts are checked as for one that is. Where the image's
 * users are looked up, a snapshot of it is made, and gone when this resolves.
 */
export async function previewSpec(context: SessionContext, request: CreateRequest): Promise<OciSpec> {
  const { image, user, binds, buildSpec, signal } = request;
  const { channel, snapshotter } = context;
  await using pins = await pinSources(context, binds);
  // No id of a session: what is left of it is the lease's alone.
  const key = `plan-${randomBytes(10).toString('hex')}`;
  const files = await withOwnLease(
    channel,
    async ({ channel: leased }) => readUserFiles(await prepareRootfs(leased, { image, key, snapshotter, signal })),
    { signal },
  );
  const all = [...pins.list, ...listOwnBinds(context, request)];
  return buildSpec(resolveUser(user, files), keepRestrictions(all, request.record.asked.policy.userns));
}
