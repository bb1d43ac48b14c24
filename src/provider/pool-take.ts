import { createHash } from 'node:crypto';
import { CapabilityMismatchError, type Fault } from '../core/error.js';
import { hashPolicy } from '../policy/effective.js';
import { isRecord } from '../policy/rule.js';
import type { Handover } from '../session/pool/idle.js';
import { checkSpecInput } from '../spec/build.js';
import { chooseEnv } from '../spec/environment.js';
import { hidesProcesses, nameRuntime } from '../spec/runtime.js';
import { type AskedOptions, type CreateOptions, parseCreateOptions } from './create-options.js';
import { chooseExecutor } from './executor-choice.js';
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
function keySession(asked: AskedOptions, options: ResolvedOptions): string {
  const { session, policy } = stripTaken(asked);
  const { image = options.image, runtime = options.runtime, pull = options.pull } = session;
  const { command = [], tty = false, stdin = false, shimGroup = '' } = session;
  // By what it comes to: `auto` and the name of what it chooses are the same.
  const { executor } = chooseExecutor(session.executor ?? options.executor, { runtime, policy });
  const { runtimeBinary = '', runtimeOptions, snapshotter, worktreePath = '' } = options;
  const made = [image, nameRuntime(runtime), executor, pull, command, tty, stdin, shimGroup];
  const place = [runtimeBinary, runtimeOptions, snapshotter, worktreePath];
  return createHash('sha256')
    .update(JSON.stringify([hashPolicy(policy), ...made, ...place]))
    .digest('hex');
}

/** What is known of every take before there is one. */
export function keyPool(asked: AskedOptions, options: ResolvedOptions): Omit<KeyedPool, keyof ResolvedPool> {
  return { asked, key: keySession(asked, options), policyHash: hashPolicy(asked.policy) };
}

/** What a taken session becomes; everything that cannot be honoured is refused by name before one is touched. */
export function planTake(given: TakeOptions, pool: KeyedPool, options: ResolvedOptions): Handover {
  // Of one that is asked for nothing the pool has looked at all before.
  const isPlain = isRecord(given) && Object.keys(given).length === 0;
  const { session, policy } = isPlain
    ? pool.asked
    : parseCreateOptions(merge(given, pool.common), options.base, { waitMs: waitRule });
  const refused = isPlain ? [] : findFixed(given, { session, policy }, pool, options);
  const files = listSessionFiles(policy, options.worktreePath);
  const runtime = nameRuntime(session.runtime ?? options.runtime);
  if (files.secrets.length > 0 && hidesProcesses({ runtime })) {
    const expected = `none as files, as a guest on ${runtime} may not see what is written once it runs`;
    refused.push({ path: 'secrets', value: '[hidden]', expected });
  }
  if (refused.length > 0) throw new CapabilityMismatchError('containerd', refused);
  const env = chooseEnv(policy, options.hostEnv, session.env ?? {});
  checkSpecInput({ command: undefined, env });
  const { metadata = {}, name, ttlMs } = session;
  return {
    change: {
      ...(name === undefined ? {} : { name }),
      ...(ttlMs === undefined ? {} : { expiresAt: new Date(Date.now() + ttlMs) }),
      asked: describeAsked(policy, session),
      policyHash: isPlain ? pool.policyHash : hashPolicy(policy),
      metadata,
    },
    env,
    secrets: files.secrets,
    known: policy.secrets.map(({ value }) => value),
  };
}

export interface KeyedPool extends ResolvedPool {
  key: string;
  /** Of a take that asks for nothing. */
  asked: AskedOptions;
  policyHash: string;
}

/** Each field that says something else than what the pool's sessions were made with. */
function findFixed(
  given: TakeOptions,
  asked: AskedOptions,
  { common, key }: KeyedPool,
  options: ResolvedOptions,
): Fault[] {
  const fixed = Object.entries(given).filter(([path, value]) => value !== undefined && !changeable.includes(path));
  const isSame = (other: AskedOptions) => keySession(other, options) === key;
  // Nothing tells how far a pull is that was over before.
  const isOwn = ([path, value]: [string, unknown]) =>
    path !== 'onProgress' && isSame(parseCreateOptions({ ...common, [path]: value }, options.base));
  if (fixed.every(([path]) => path !== 'onProgress') && isSame(asked)) return [];
  const others = fixed.filter((field) => !isOwn(field));
  return (others.length > 0 ? others : fixed).map(([path, value]) => {
    const isPlain = value === null || typeof value !== 'object';
    const expected = 'what the sessions of the pool were made with, as it cannot change once they run';
    return { path, value: isPlain ? value : '[given]', expected };
  });
}

/** As one that is created would be asked for. What is no object stays what it is, and is refused with all else. */
function merge(given: TakeOptions, common: CreateOptions): object {
  if (!isRecord(given)) return given;
  const { env, metadata, secrets } = given as TakeOptions;
  const lay = (below: object | undefined, above: unknown) =>
    isRecord(above) ? { ...below, ...above } : (above ?? below);
  const layList = (above: unknown) =>
    // Those of the take first: a fault tells the place that it was given at.
    Array.isArray(above) ? [...above, ...(common.secrets ?? [])] : (above ?? common.secrets);
  const laid = { env: lay(common.env, env), metadata: lay(common.metadata, metadata), secrets: layList(secrets) };
  return { ...common, ...given, ...laid };
}
