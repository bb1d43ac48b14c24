import { createHash } from 'node:crypto';
import { CapabilityMismatchError, type Fault } from '../core/error.js';
import { hashPolicy } from '../policy/effective.js';
import type { Handover } from '../session/pool/idle.js';
import { checkSpecInput } from '../spec/build.js';
import { chooseEnv } from '../spec/environment.js';
import { hidesProcesses, nameRuntime } from '../spec/runtime.js';
import { type AskedOptions, type CreateOptions, parseCreateOptions } from './create-options.js';
import type { ResolvedOptions } from './options.js';
import { describeAsked } from './plan.js';
import { type ResolvedPool, type TakeOptions, waitRule } from './pool-options.js';
import { listSessionFiles } from './session-files.js';

/** What a session that runs can still be given. */
const changeable = ['env', 'envAllowlist', 'secrets', 'name', 'metadata', 'ttlMs', 'signal', 'waitMs'];

/** The same without what is given when it is taken: nothing of that is in a session which nobody has. */
export function stripTaken({ session, policy }: AskedOptions): AskedOptions {
  const { env: _env, metadata: _metadata, ...made } = session;
  const { secrets: _secrets, envAllowlist: _allowlist, ...asked } = policy.asked;
  return { session: made, policy: { ...policy, secrets: [], envAllowlist: [], asked } };
}

/** The same for two sessions that differ in nothing that cannot change after create. */
export function keySession(asked: AskedOptions, options: ResolvedOptions): string {
  const { session, policy } = stripTaken(asked);
  const {
    image = options.image,
    runtime = options.runtime,
    executor = options.executor,
    pull = options.pull,
  } = session;
  const { command = [], tty = false, stdin = false } = session;
  const { runtimeBinary = '', runtimeOptions, snapshotter, worktreePath = '' } = options;
  const made = [image, nameRuntime(runtime), executor, pull, command, tty, stdin];
  const place = [runtimeBinary, runtimeOptions, snapshotter, worktreePath];
  return createHash('sha256')
    .update(JSON.stringify([hashPolicy(policy), ...made, ...place]))
    .digest('hex');
}

/** What a taken session becomes; everything that cannot be honoured is refused by name before one is touched. */
export function planTake(given: TakeOptions, pool: ResolvedPool & { key: string }, options: ResolvedOptions): Handover {
  const own = parseCreateOptions(given, undefined, { waitMs: waitRule });
  const { common } = pool;
  const refused = findFixed(given, pool, options);
  const asked = parseCreateOptions(merge(given, common), options.base);
  const { session, policy } = asked;
  const files = listSessionFiles(policy, options.worktreePath);
  const runtime = nameRuntime(session.runtime ?? options.runtime);
  if (files.secrets.length > 0 && hidesProcesses({ runtime })) {
    const expected = `none as files, as a guest on ${runtime} may not see what is written once it runs`;
    refused.push({ path: 'secrets', value: '[hidden]', expected });
  }
  if (refused.length > 0) throw new CapabilityMismatchError('containerd', refused);
  const env = chooseEnv(policy, options.hostEnv, session.env ?? {});
  checkSpecInput({ command: undefined, env });
  const { executor = options.executor, metadata = {} } = session;
  const { name, ttlMs } = own.session;
  return {
    change: {
      ...(name === undefined ? {} : { name }),
      ...(ttlMs === undefined ? {} : { expiresAt: new Date(Date.now() + ttlMs) }),
      asked: describeAsked(policy, { ...session, executor }),
      policyHash: hashPolicy(policy),
      metadata,
    },
    env,
    secrets: files.secrets,
    known: policy.secrets.map(({ value }) => value),
  };
}

/** Each field that says something else than what the pool's sessions were made with. */
function findFixed(
  given: TakeOptions,
  { common, key }: ResolvedPool & { key: string },
  options: ResolvedOptions,
): Fault[] {
  return Object.entries(given)
    .filter(([path, value]) => value !== undefined && !changeable.includes(path))
    .filter(
      ([path, value]) =>
        path === 'onProgress' ||
        keySession(parseCreateOptions({ ...common, [path]: value }, options.base), options) !== key,
    )
    .map(([path, value]) => {
      const isPlain = value === null || typeof value !== 'object';
      const expected = 'what the sessions of the pool were made with, as it cannot change once they run';
      return { path, value: isPlain ? value : '[given]', expected };
    });
}

function merge(given: TakeOptions, common: CreateOptions): CreateOptions {
  const { env, metadata, secrets = [], envAllowlist = common.envAllowlist, name, ttlMs } = given;
  return {
    ...common,
    env: { ...common.env, ...env },
    metadata: { ...common.metadata, ...metadata },
    // Those of the take first: a fault tells the place that it was given at.
    ...(secrets.length > 0 ? { secrets: [...secrets, ...(common.secrets ?? [])] } : {}),
    ...(envAllowlist === undefined ? {} : { envAllowlist }),
    ...(name === undefined ? {} : { name }),
    ...(ttlMs === undefined ? {} : { ttlMs }),
  };
}
