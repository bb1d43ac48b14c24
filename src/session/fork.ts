import { Cleanup } from '../core/cleanup.js';
import { addSuppressed, createInputError } from '../core/error.js';
import { Gate } from '../core/gate.js';
import { readImage } from '../image/commit.js';
import { releaseForkPoint } from '../image/fork-point.js';
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
import { withRootfs } from './rootfs-state.js';
import type { Session } from './session.js';

/** More at once do not start sooner. */
const AT_ONCE = 4;

export interface ForkOptions {
  /** How many sessions. Defaults to 1. */
  count?: number;
  /** Instead of the parent's policy as a whole. Values of secrets are not kept, so that a parent with any needs it. */
  policy?: IsolationPolicy | FlatPolicy;
  /** Of the forks. Defaults to the parent's. */
  metadata?: Record<string, string>;
  /** As in `CreateOptions`. Without it, the forks end with this process. */
  ttlMs?: number;
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
  const { count = 1, policy, metadata = parent.metadata, ttlMs, signal } = options;
  const { channel } = context;
  const image = await readImage(channel, { name: parent.image, manifest: parent.manifest, signal });
  const request: ForkRequest = {
    ...parent.asked,
    runtime: parent.runtime,
    metadata,
    ...(policy === undefined ? {} : { override: policy }),
    ...(ttlMs === undefined ? {} : { ttlMs }),
    ...(signal === undefined ? {} : { signal }),
  };
  const { container } = await findRecord(channel, parent.id);
  const { resources } = readSpec(container).linux;
  const plans = Array.from({ length: count }, () => {
    const plan = context.plan(request, image);
    if (policy !== undefined) return plan;
    // Limits may have been changed since the policy was given.
    const buildSpec: CreateRequest['buildSpec'] = (...found) => {
      const spec = plan.buildSpec(...found);
      return { ...spec, linux: { ...spec.linux, resources } };
    };
    return { ...plan, buildSpec };
  });

  const base = await withRootfs(context, parent, () => makeBase(context, parent, signal));
  const undo = new Cleanup();
  undo.defer('fork point', () => releaseForkPoint(channel, parent.snapshotter, base));
  const gate = new Gate(AT_ONCE);
  const lineage = { parent: { session: parent.id, snapshot: base } };
  const results = await Promise.allSettled(
    plans.map((plan) =>
      gate.run(() => createSession(context, { ...plan, base, record: { ...plan.record, ...lineage } })),
    ),
  );
  const sessions = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
  const failures: unknown[] = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
  const removals = failures.length === 0 ? [] : sessions.map((session) => session.destroy());
  for (const removal of await Promise.allSettled(removals)) {
    if (removal.status === 'rejected') failures.push(removal.reason);
  }
  const failure = await undo.run();
  if (failure !== undefined) failures.push(failure.error);
  if (failures.length > 0) throw addSuppressed(failures[0], failures.slice(1));
  return sessions;
}
