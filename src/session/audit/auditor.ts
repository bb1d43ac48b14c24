import { randomBytes } from 'node:crypto';
import { DriverError, hasCode } from '../../core/error.js';
import { redact } from '../../policy/redact.js';
import type { AuditAction, AuditEvent, AuditSink } from './event.js';

/** What an event tells of its act; the rest is added here. */
export type AuditEntry = Pick<AuditEvent, 'action'> &
  Partial<
    Pick<
      AuditEvent,
      'sessionId' | 'execId' | 'command' | 'policyHash' | 'limits' | 'network' | 'port' | 'killed' | 'allow' | 'denied'
    >
  >;

type Outcome = Pick<AuditEvent, 'outcome' | 'error'>;

export interface AuditorOptions {
  /** Without one nothing is told, and nothing costs anything. */
  sink?: AuditSink | undefined;
  actor?: string | undefined;
  /** What is asked for and cannot be told of is refused, or done and warned of. */
  onFailure?: 'refuse' | 'warn';
}

/** Values that must be in no event, asked for when there is one. */
export type SecretSource = () => readonly string[] | Promise<readonly string[]>;

/** An event that its sink did not take: it goes with the failure, so that it is somewhere. */
class UnwrittenEvent extends Error {
  readonly reason: string;

  constructor(event: AuditEvent, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super(`${reason}; not written: ${JSON.stringify(event)}`, { cause });
    this.reason = reason;
  }
}

/** Tells of what happens to sessions. */
export class Auditor {
  readonly #options: AuditorOptions;
  /** One at a time, in the order of what happened. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: AuditorOptions = {}) {
    this.#options = options;
  }

  /** Tells of an act before and after. In `refuse` what cannot be told of is not begun. */
  async run<T>(entry: AuditEntry, act: () => Promise<T>, secrets: SecretSource = () => []): Promise<T> {
    if (this.#options.sink === undefined) return act();
    const operationId = nameOperation();
    const tell = (outcome: Outcome) => this.#write({ operationId, ...entry, ...outcome }, secrets);
    try {
      await tell({ outcome: 'begun' });
    } catch (cause) {
      if (this.#options.onFailure !== 'warn') {
        const reason = cause instanceof UnwrittenEvent ? cause.reason : (cause as Error).message;
        const message = `${entry.action} is refused, as the audit sink does not take its event: ${reason}`;
        throw new DriverError('failed-precondition', message, { operation: 'audit', cause });
      }
      this.#warn(cause, entry.action);
    }
    try {
      const result = await act();
      await this.#tryTell(() => tell({ outcome: 'done' }), entry.action);
      return result;
    } catch (error) {
      await this.#tryTell(() => tell(describeFailure(error)), entry.action);
      throw error;
    }
  }

  /** Tells of a refusal alone, of what comes before anything is begun. */
  async watch<T>(action: AuditAction, act: () => Promise<T> | T, secrets: SecretSource = () => []): Promise<T> {
    try {
      return await act();
    } catch (error) {
      const failure = describeFailure(error);
      if (failure.outcome === 'denied') await this.tell({ action }, failure, secrets);
      throw error;
    }
  }

  /** Tells of what has happened. What ends something is never held up by a sink: a failure is warned of. */
  async tell(entry: AuditEntry, outcome: Outcome, secrets: SecretSource = () => []): Promise<void> {
    if (this.#options.sink === undefined) return;
    const write = () => this.#write({ operationId: nameOperation(), ...entry, ...outcome }, secrets);
    await this.#tryTell(write, entry.action);
  }

  /** Waits for all that is on its way. */
  async settle(): Promise<void> {
    await this.#last;
  }

  async #tryTell(write: () => Promise<void>, action: AuditAction): Promise<void> {
    try {
      await write();
    } catch (error) {
      this.#warn(error, action);
    }
  }

  #write(entry: AuditEntry & Outcome & { operationId: string }, secrets: SecretSource): Promise<void> {
    const time = new Date().toISOString();
    const written = this.#last.then(async () => {
      const event = this.#complete(time, redact(entry, await secrets()));
      try {
        await this.#options.sink?.write(event);
      } catch (cause) {
        throw new UnwrittenEvent(event, cause);
      }
    });
    this.#last = written.catch(() => undefined);
    return written;
  }

  #complete(time: string, entry: AuditEntry & Outcome & { operationId: string }): AuditEvent {
    const { action, outcome, operationId, ...rest } = entry;
    const { actor } = this.#options;
    const who = { uid: process.getuid?.() ?? -1, pid: process.pid, ...(actor === undefined ? {} : { actor }) };
    return { time, action, outcome, operationId, ...who, ...rest };
  }

  #warn(error: unknown, action: AuditAction): void {
    const message = `the audit sink failed at ${action}: ${(error as Error).message}`;
    process.emitWarning(message, { type: 'AuditWarning', code: 'CADRE_AUDIT' });
  }
}

/** What an act that rejects has come to. */
export function describeFailure(error: unknown): Outcome {
  const isDenied = hasCode(error, 'capability-mismatch', 'invalid-argument', 'permission-denied');
  const message = error instanceof Error ? error.message : String(error);
  const known = error instanceof DriverError ? error : undefined;
  const fields = known?.faults.map(({ path }) => path) ?? [];
  return {
    outcome: isDenied ? 'denied' : 'failed',
    error: { code: known?.code ?? 'unknown', message, ...(fields.length === 0 ? {} : { fields }) },
  };
}

function nameOperation(): string {
  return randomBytes(8).toString('hex');
}
