import type { Denial } from '../../network/allow/denial.js';

/** What is told of: taking something in use, changing it, ending it. */
export type AuditAction =
  | 'create'
  | 'take'
  | 'exec'
  | 'update'
  | 'pause'
  | 'resume'
  | 'stop'
  | 'start'
  | 'kill'
  | 'reach'
  | 'destroy'
  | 'reap'
  | 'connect'
  | 'disconnect'
  | 'forward';

/**
 * `begun` comes before, and one of the others after: `done`, `failed`, or `denied` for what was refused. What ends
 * something is told of once, after.
 */
export type AuditOutcome = 'begun' | 'done' | 'failed' | 'denied';

/** What happens to sessions, for the record. No environment, no input, no output and no value of a secret is in it. */
export interface AuditEvent {
  /** ISO 8601, in UTC. */
  time: string;
  /** What was done, or asked for. */
  action: AuditAction;
  /** What came of it so far. */
  outcome: AuditOutcome;
  /** The same in both events of one act. */
  operationId: string;
  /** Who asked: user and process on this host, and whom the provider was told to name. */
  uid: number;
  /** Of the process that asked. */
  pid: number;
  /** The provider's option of this name. */
  actor?: string;
  /** Absent where no session came to be. */
  sessionId?: string;
  /** Of a kill that reached one command and what it had started. */
  execId?: string;
  /** Program and arguments; a secret in them reads `[redacted]`. */
  command?: string[];
  /** Of the policy that the session was created by. */
  policyHash?: string;
  /** Limits that an update asks for. */
  limits?: Record<string, unknown>;
  /** That a session is connected to, or disconnected from. */
  network?: string;
  /** Inside, that a forward leads to. */
  port?: number;
  /** Rules of its allowlist that an update asks for. */
  allow?: string[];
  /** Pids that a kill reached. */
  killed?: number[];
  /** What a session's allowlist refused it. */
  denied?: Denial;
  /** Why it was refused or failed. */
  error?: { code: string; message: string; fields?: string[] };
}

/** Where events go. Events of one provider are written one after another. */
export interface AuditSink {
  /** Resolves when the event is kept. What it throws is never lost, see `ProviderOptions.auditFailure`. */
  write(event: AuditEvent): Promise<void> | void;
}
