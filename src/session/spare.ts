import { addSuppressed } from '../core/error.js';
import {
  Container,
  ContainersService,
} from '../generated/github.com/containerd/containerd/api/services/containers/v1/containers.js';
import type { Channel } from '../rpc/channel.js';
import { findById } from './find.js';
import { nameSpare, SPARE, SPARE_TYPE } from './record.js';
import { removeContainer } from './teardown.js';

/**
 * containerd takes no other runtime for a record that is there (metadata/containers.go, "field is immutable"): it is
 * made anew. Meanwhile a second container, the spare, holds the session's snapshot and what the session was, so that it is
 * there at every moment and a process that comes to its end in between loses nothing.
 *
 * Resolves when the record is `to`. Otherwise it is what it was; or, where that cannot be had either, the spare stays, and
 * `settleSpare` makes it so.
 */
export async function replaceContainer(
  channel: Channel,
  { from, to }: { from: Container; to: Container },
): Promise<void> {
  // One of a replacement whose last step failed.
  await settleSpare(channel, to.id);
  try {
    await create(channel, buildSpare(from));
    await removeContainer(channel, to.id);
    await create(channel, to);
  } catch (error) {
    const [settled] = await Promise.allSettled([settleSpare(channel, to.id)]);
    throw addSuppressed(error, settled.status === 'rejected' ? [settled.reason] : []);
  }
  await removeContainer(channel, nameSpare(to.id));
}

/**
 * Ends a replacement, wherever it broke off: a session without a record becomes what it was, and no spare is left. Only for
 * who holds the session's root file system (`withRootfs`). False when there is nothing to be done.
 */
export async function settleSpare(channel: Channel, id: string): Promise<boolean> {
  const { containers } = await channel.unary(ContainersService.list, { filters: [`id==${nameSpare(id)}`] });
  if (containers.length === 0) return false;
  const found = await findById(channel, id);
  if (found?.isSpare) await create(channel, found.container);
  await removeContainer(channel, nameSpare(id));
  return true;
}

async function create(channel: Channel, container: Container): Promise<void> {
  await channel.unary(ContainersService.create, {
    container: { ...container, createdAt: undefined, updatedAt: undefined },
  });
}

/** With the labels of the session, by which it is found, and by which its image is kept. */
function buildSpare(container: Container): Container {
  const value = Buffer.from(Container.encode(container).finish());
  return { ...container, id: nameSpare(container.id), extensions: { [SPARE]: { typeUrl: SPARE_TYPE, value } } };
}
