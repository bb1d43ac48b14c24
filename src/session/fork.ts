import { Cleanup } from '../core/cleanup.js';
import { addSuppressed, createInputError } from '../core/error.js';
import { Gate } from '../core/gate.js';
import { readImage } from '../image/commit.js';
import { abortSignal, accept, checkOptions, isRecord, type Rule } from '../policy/rule.js';
import { whole } from '../policy/schema.js';
import type { FlatPolicy, IsolationPolicy } from '../policy/types.js';
import type { ForkRequest, SessionContext } from './context.js';
import { type CreateRequest, createSession } from './create.js';
import { timeToLive } from './extend.js';
import { findRecord, readSpec } from './find.js';
import { makeBase } from './fork-base.js';
import { metadataRule } from './metadata.js';
import type { SessionRecord } from './record.js';
import { refuseMapped, withRootfs } from './rootfs-state.js';
import type { Session } from './session.js';

/** More at once do not start sooner. */
const AT_ONCE = 4;

/** What forks are, beside what their parent is. */
export interface ForkOptions {
  /** How many sessions. Defaults to 1. */
  count?: number;
  /** Instead of the parent's policy as a whole. Values of secrets are not kept, so that a parent with any needs it. */
  policy?: IsolationPolicy | FlatPolicy;
  /** Of the forks. Defaults to the parent's. */
  metadata?: Record<string, string>;
  /** As in `CreateOptions`. Without it, the forks end with this process. */
  ttlMs?: number;
  /** An abort rejects with `canceled`, and no fork is left. */
  signal?: AbortSignal;
}

const rules: Record<keyof ForkOptions, Rule> = {
  count: whole(1, 1_000),
  // Judged as any session's is.
  policy: accept(isRecord, 'a plain object'),
  metadata: metadataRule,
  ttlMs: timeToLive,
  signal: abortSignal,
};
export async function forkSession(
  context: SessionContext,
  parent: SessionRecord,
  options: ForkOptions = {},
): Promise<Session[]> {
  checkOptions('fork options', options, rules);
  if (options.policy === undefined && parent.asked.policy.secrets.length > 0) {
    const expected = "a policy, as the values of the parent's secrets are not kept";
    throw createInputError('fork options', [{ path: 'policy', value: undefined, expected }]);
  }
  refuseMapped(parent, 'fork');
  const { channel } = context;
  // Limits and rules may have been changed since the policy was given.
  const { container, record } = await findRecord(channel, parent.id);
  const { count = 1, policy, metadata = parent.metadata, ttlMs, signal } = options;
  const image = await readImage(channel, { name: parent.image, manifest: parent.manifest, signal });
  const { executor = 'task', askedExecutor = executor, executorReason: _, ...asked } = record.asked;
  const request: ForkRequest = {
    ...asked,
    executor: askedExecutor,
    runtime: parent.runtime,
    metadata,
    ...(policy === undefined ? {} : { override: policy }),
    ...(ttlMs === undefined ? {} : { ttlMs }),
    ...(signal === undefined ? {} : { signal }),
  };
  const { resources } = readSpec(container).linux;
  const planOne = async () => {
    const plan = await context.plan(request, image);
    if (policy !== undefined) return plan;
    const buildSpec: CreateRequest['buildSpec'] = (...found) => {
      const spec = plan.buildSpec(...found);
      return { ...spec, linux: { ...spec.linux, resources } };
    };
    return { ...plan, buildSpec };
  };
  const plans = await Promise.all(Array.from({ length: count }, planOne));

  const undo = new Cleanup();
  const sessions: Session[] = [];
  const failures: unknown[] = [];
  try {
    const base = await withRootfs(context, parent, () => makeBase(context, parent, { undo, signal }));
    const lineage = { parent: { session: parent.id, snapshot: base } };
    const gate = new Gate(AT_ONCE);
    const creations = plans.map((plan) => {
      const create = () => createSession(context, { ...plan, base, record: { ...plan.record, ...lineage } });
      return gate.run(create);
    });
    for (const result of await Promise.allSettled(creations)) {
      if (result.status === 'fulfilled') sessions.push(result.value);
      else failures.push(result.reason);
    }
  } catch (error) {
    failures.push(error);
  }
  const failure = await undo.run();
  if (failure !== undefined) {
    context.unfinished.set(`fork of ${parent.id}`, undo);
    failures.push(failure.error);
  }
  if (failures.length === 0) return sessions;
  for (const removal of await Promise.allSettled(sessions.map((session) => session.destroy()))) {
    if (removal.status === 'rejected') failures.push(removal.reason);
  }
  throw addSuppressed(failures[0], failures.slice(1));
}
