import type { Cleanup } from '../core/cleanup.js';
import { DriverError } from '../core/error.js';
import type { SessionAudit } from './audit/session-audit.js';
import type { SessionContext } from './context.js';
import type { RunningExecs } from './running-execs.js';
import type { Session } from './session.js';

interface RemovalParts {
  context: SessionContext;
  session: Session;
  undo: Cleanup;
  execs: RunningExecs;
  audit: SessionAudit;
}

/** Gives back what a session holds. What is left is the reaper's, and told. */
export class Removal {
  readonly #parts: RemovalParts;
  #isRunning = false;

  constructor(parts: RemovalParts) {
    this.#parts = parts;
  }

  /** Throws `unavailable` with what is left. Calls at once share one run; a later one carries on. */
  async run(): Promise<void> {
    const { undo, audit } = this.#parts;
    // Nothing is to be told of a call that shares the run, or has nothing left to do.
    const isTold = undo.pending.length > 0 && !this.#isRunning;
    this.#isRunning = true;
    try {
      await (isTold ? audit.after({ action: 'destroy' }, () => this.#remove()) : this.#remove());
    } finally {
      this.#isRunning = false;
    }
  }

  async #remove(): Promise<void> {
    const { context, session, undo, execs } = this.#parts;
    const { sessionId } = session;
    const failure = await undo.run();
    await execs.settle();
    if (failure === undefined) {
      context.unfinished.delete(sessionId);
      context.sessions.delete(session);
      return;
    }
    context.unfinished.set(sessionId, undo);
    const message = `session ${sessionId} is not fully destroyed, left: ${failure.pending.join(', ')}`;
    throw new DriverError('unavailable', message, { operation: `remove ${failure.step}`, cause: failure.error });
  }
}
