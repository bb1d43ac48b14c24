import type { Cleanup, CleanupFailure } from '../core/cleanup.js';
import { DriverError } from '../core/error.js';
import type { SessionContext } from './context.js';
import type { Session } from './session.js';

/** Notes how the undo of a session went. What is left is the reaper's, and told: throws `unavailable`. */
export function noteRemoval(
  { sessions, unfinished }: SessionContext,
  session: Session,
  { undo, failure }: { undo: Cleanup; failure: CleanupFailure | undefined },
): void {
  const { sessionId } = session;
  if (failure === undefined) {
    unfinished.delete(sessionId);
    sessions.delete(session);
    return;
  }
  unfinished.set(sessionId, undo);
  const message = `session ${sessionId} is not fully destroyed, left: ${failure.pending.join(', ')}`;
  throw new DriverError('unavailable', message, { operation: `remove ${failure.step}`, cause: failure.error });
}
