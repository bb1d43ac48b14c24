import { isAbsent } from '../core/absent.js';
import { DriverError, hasCode } from '../core/error.js';
import type { Channel } from '../rpc/channel.js';
import { isDaemonAway } from '../rpc/errors.js';
import { findById } from './find.js';
import { readTask } from './task.js';

/**
 * Says what containerd's "not found" means for a session, or a file of its that has gone: another process destroyed it, or it
 * has stopped. Errors that have nothing to do with either come back as they are.
 */
export async function explainAbsence(
  channel: Channel,
  id: string,
  error: unknown,
  { mayBeStopped = false }: { mayBeStopped?: boolean } = {},
): Promise<unknown> {
  const isSign = hasCode(error, 'not-found', 'failed-precondition', 'data-loss', 'unavailable', 'unknown');
  if (!(isSign || isAbsent(error)) || isDaemonAway(error)) return error;
  try {
    const options = { cause: error, ...(isSign && error.operation !== undefined && { operation: error.operation }) };
    if ((await findById(channel, id)) === undefined) {
      return new DriverError('destroyed', `session ${id} is destroyed`, options);
    }
    if (mayBeStopped) return error;
    const { state } = await readTask(channel, id);
    if (state !== 'stopped' || hasCode(error, 'data-loss')) return error;
    return new DriverError('failed-precondition', `session ${id} is stopped`, options);
  } catch {
    // The daemon is away: the first failure is the one to tell.
    return error;
  }
}
