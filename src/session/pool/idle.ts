import { join } from 'node:path';
import { addSuppressed, DriverError } from '../../core/error.js';
import { settle } from '../../core/settle.js';
import {
  type Container,
  ContainersService,
} from '../../generated/github.com/containerd/containerd/api/services/containers/v1/containers.js';
import type { SecretBinding } from '../../policy/types.js';
import { mergeEnv } from '../../spec/environment.js';
import type { OciSpec } from '../../spec/types.js';
import { mapUser } from '../../spec/userns.js';
import type { SessionContext } from '../context.js';
import { type CreateRequest, createSession } from '../create.js';
import { findRecord, readSpec } from '../find.js';
import { classifyNetwork } from '../network.js';
import { buildExtension, buildLabels, EXTENSION, packSpec, type SessionRecord } from '../record.js';
import { writeSecrets } from '../secrets.js';
import type { Session } from '../session.js';
import { readTask } from '../task.js';
import { isAdopted } from './share.js';
import { hasTicket, leaveTicket, takeTicket } from './ticket.js';

/** A session that waits in a pool. */
export interface IdleSession {
  session: Session;
  record: SessionRecord;
  /** As it is written down. */
  container: Container;
  spec: OciSpec;
  /** It is this process's alone already. */
  isClaimed?: true;
}

/** What a session is given when it is taken. */
export interface Handover {
  /** What of its record is to be another; the executor stays what was chosen. */
  change: Pick<SessionRecord, 'asked' | 'policyHash' | 'metadata'> & Partial<Pick<SessionRecord, 'name' | 'expiresAt'>>;
  /** Added to the environment of the image. */
  env: Record<string, string>;
  /** Those that are files. */
  secrets: SecretBinding[];
  /** Values of all secrets, which are to be told to nobody. */
  known: string[];
}

/** Creates a session that nobody has yet; nothing is left of it when this rejects. */
export async function makeIdle(context: SessionContext, request: CreateRequest): Promise<IdleSession> {
  const session = await createSession(context, request);
  try {
    // Whatever starts commands has answered once, and its connection is open.
    await session.executions.list();
    const { record, container } = await findRecord(context.channel, session.sessionId);
    leaveTicket(join(context.directory, record.id));
    return { session, record, container, spec: readSpec(container) };
  } catch (error) {
    const failure = await session.destroy().catch((reason: unknown) => ({ reason }));
    throw addSuppressed(error, failure === undefined ? [] : [failure.reason]);
  }
}

/** What keeps it from being handed out, as far as this host sees at once. */
export function inspectIdle(context: SessionContext, { session }: IdleSession): 'dead' | 'lost' | undefined {
  if (!session.isSound) return 'dead';
  return hasTicket(join(context.directory, session.sessionId)) ? undefined : 'lost';
}

/** Makes it this process's alone; false when another was faster. */
export function claimIdle(context: SessionContext, { session }: IdleSession): boolean {
  return takeTicket(join(context.directory, session.sessionId));
}

/**
 * Makes it the session that was asked for. Its record says so before this resolves: one that is found, listed or reaped is
 * never half of each. Throws `not-found` for one that does not run any more.
 */
export async function handOver(context: SessionContext, idle: IdleSession, handover: Handover): Promise<Session> {
  const { session, record } = idle;
  const entry = { action: 'take' as const, sessionId: record.id, policyHash: handover.change.policyHash };
  await context.audit.run(
    entry,
    () => apply(context, idle, handover),
    () => handover.known,
  );
  return session;
}

async function apply(context: SessionContext, idle: IdleSession, { change, env, secrets }: Handover): Promise<void> {
  const { channel } = context;
  const { session, container, spec } = idle;
  const { pool: _, expiresAt: __, ...own } = idle.record;
  const { executor, executorReason, askedExecutor, shimGroup } = own.asked;
  const asked = {
    ...change.asked,
    ...(executor === undefined ? {} : { executor }),
    ...(executorReason === undefined ? {} : { executorReason }),
    ...(askedExecutor === undefined ? {} : { askedExecutor }),
    ...(shimGroup === undefined ? {} : { shimGroup }),
  };
  const record: SessionRecord = { ...own, ...change, asked };
  const given = { ...spec, process: { ...spec.process, env: mergeEnv(spec.process.env, env) } };
  if (secrets.length > 0) {
    const user = mapUser(spec.process.user, record.asked.policy.userns);
    await writeSecrets(join(context.directory, record.id), secrets, user);
  }
  const hasEnv = Object.keys(env).length > 0;
  // What stays as it is need not travel, which is most of a spec of some 20 KB.
  const described = {
    ...container,
    labels: buildLabels(record),
    spec: hasEnv ? packSpec(given, record) : undefined,
    extensions: { ...container.extensions, [EXTENSION]: buildExtension(record) },
  };
  // Labels that it has no more are named, and not there.
  const labels = new Set([...Object.keys(container.labels), ...Object.keys(described.labels)]);
  const changed = [...labels].filter((label) => container.labels[label] !== described.labels[label]);
  const updateMask = [...(hasEnv ? ['spec'] : []), 'extensions', ...changed.map((label) => `labels.${label}`)];
  await settle([
    channel.unary(ContainersService.update, { container: described, updateMask }, { idempotent: true }),
    // Of containerd's it is asked beside the write; a supervisor at the other end of its socket is an answer already.
    session.isReady ? Promise.resolve() : assertRunning(context, record.id),
  ]);
  session.become({ record, spec: given });
  // Its secrets are to be in no report of what it is refused.
  if (classifyNetwork(record.asked.policy) === 'gated') await context.enforcers.renew(record.id);
}

async function assertRunning({ channel }: SessionContext, id: string): Promise<void> {
  const { state } = await readTask(channel, id);
  if (state !== 'running') throw new DriverError('not-found', `session ${id} is ${state}`, { operation: 'take' });
}

/** Destroys it, unless another process has it by now. */
export async function discardIdle(context: SessionContext, idle: IdleSession): Promise<void> {
  if (!idle.isClaimed && !claimIdle(context, idle) && (await isAdopted(context, idle.session.sessionId))) return;
  await idle.session.destroy();
}
