import { createInputError, DriverError } from '../core/error.js';
import { ContainersService } from '../generated/github.com/containerd/containerd/api/services/containers/v1/containers.js';
import type { Channel } from '../rpc/channel.js';
import { findById } from './find.js';
import { LABEL } from './record.js';

/** Sets the end of a session's life to `ttlMs` from now and resolves with it. */
export async function extendSession(channel: Channel, id: string, ttlMs: number): Promise<Date> {
  if (!Number.isSafeInteger(ttlMs) || ttlMs < 1) {
    throw createInputError('ttl', [{ path: 'ttlMs', value: ttlMs, expected: 'a whole number of ms, at least 1' }]);
  }
  const found = await findById(channel, id);
  if (found === undefined) throw new DriverError('not-found', `no session ${id}`, { operation: 'extend' });
  const expiresAt = new Date(Date.now() + ttlMs);
  // The mask names the one label, so that what others write meanwhile stays. The whole container is sent all the same:
  // daemons read fields that the mask does not name.
  await channel.unary(
    ContainersService.update,
    {
      container: {
        ...found.container,
        labels: { ...found.container.labels, [LABEL.expiresAt]: expiresAt.toISOString() },
      },
      updateMask: [`labels.${LABEL.expiresAt}`],
    },
    { idempotent: true },
  );
  return expiresAt;
}
