import { withLock } from '../core/lock.js';
import type { SessionContext } from './context.js';
import type { SessionRecord } from './record.js';

/**
 * Alone of all processes (`withLock`) with what bears the id. containerd removes by name and compares nothing: between a look
 * at whose something is and its removal nobody else may come to have it.
 */
export function lockId<T>(context: SessionContext, id: string, work: () => Promise<T>): Promise<T> {
  const { address, namespace } = context.channel;
  return withLock([address, namespace, id], work);
}

/** The same for what may be contended: the id of a name comes again, others are random and nobody else's. */
export function lockName<T>(
  context: SessionContext,
  { id, name }: Pick<SessionRecord, 'id' | 'name'>,
  work: () => Promise<T>,
): Promise<T> {
  return name === undefined ? work() : lockId(context, id, work);
}
