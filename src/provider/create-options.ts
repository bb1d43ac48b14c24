import type { PullProgress } from '../image/pull-options.js';
import type { PolicyBase } from '../policy/defaults.js';
import { parsePolicy } from '../policy/parse.js';
import { abortSignal, accept, aFunction, environment, type Rule, type Rules } from '../policy/rule.js';
import { boolean, pattern, text } from '../policy/schema.js';
import type { IsolationPolicy, ResolvedPolicy } from '../policy/types.js';
import { timeToLive } from '../session/extend.js';
import { metadataRule } from '../session/metadata.js';
import type { ExecutorChoice } from '../session/record.js';
import { identifier, type PullPolicy, providerFields } from './options.js';

/** What a session is, beside its policy. */
export interface SessionOptions {
  /** Reference of the image to start from. Defaults to the provider's. */
  image?: string;
  /** Defaults to the provider's. */
  runtime?: string;
  /** Unique on this containerd: a second session of the name is refused. */
  name?: string;
  /** The session's own command, under a reaping init; it stops with it. Without one it lives until it is destroyed. */
  command?: readonly string[];
  /** Gives the command a terminal. Defaults to false. */
  tty?: boolean;
  /** Lets the command read from whoever attaches; it reads end of input otherwise. Defaults to false. */
  stdin?: boolean;
  /** Added to the environment of the image, for every exec. */
  env?: Record<string, string>;
  /**
   * What starts commands: `task` is containerd's Tasks.Exec, `supervisor` a small init of this package's inside, some
   * thirty times faster, and `auto` the one of the two that the session can have: the supervisor where the host sees the
   * session's processes and the package has it for this machine, unless the policy gives CAP_SYS_PTRACE. `info()` tells
   * which it is. Defaults to the provider's.
   */
  executor?: ExecutorChoice;
  /**
   * Sessions that name one group share one process of runc's shim, which saves about 12 MB and 5 ms for each but the first.
   * Its end stops all of them. Defaults to a shim of its own.
   */
  shimGroup?: string;
  /** Free labels, to list and to find sessions by. */
  metadata?: Record<string, string>;
  /** Ms after which any process's reaper removes the session, even while in use. Without it, it ends with its owner. */
  ttlMs?: number;
  /** When the image is pulled from its registry. Defaults to the provider's policy. */
  pull?: PullPolicy;
  /** Told how far a pull is. */
  onProgress?: (progress: PullProgress) => void;
  /** An abort undoes what was made and rejects with `canceled`; of a session that runs it does nothing. */
  signal?: AbortSignal;
}

/** A policy and what else a session is, in one object. */
export type CreateOptions = IsolationPolicy & SessionOptions;

const sessionKeys: Record<keyof SessionOptions, Rule> = {
  image: text(),
  runtime: text(),
  // containerd takes ids of 76 characters; the prefix and the suffix that make one of a name take 15.
  name: pattern(
    '^[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*$',
    'at most 61 letters and digits, with single . _ - between them',
    61,
  ),
  command: accept(
    (value) => Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'string'),
    'an array of texts that is not empty',
  ),
  tty: boolean,
  stdin: boolean,
  env: environment,
  executor: providerFields.executor,
  shimGroup: identifier,
  metadata: metadataRule,
  ttlMs: timeToLive,
  pull: providerFields.pull,
  onProgress: aFunction,
  signal: abortSignal,
};

/** What a caller gave in one object, in its parts. */
export interface AskedOptions {
  session: SessionOptions;
  policy: ResolvedPolicy;
}

/**
 * Parts what a caller gave in one object. Everything that is wrong with either part is reported at once; so is what is
 * wrong with keys that only this caller knows.
 */
export function parseCreateOptions(given: unknown, base?: PolicyBase, more: Rules = {}): AskedOptions {
  const policy = parsePolicy(given, { beside: { ...sessionKeys, ...more }, ...(base === undefined ? {} : { base }) });
  // Built from entries: assigning would let a key `__proto__` set the prototype.
  const entries = Object.entries(given as object).filter(
    ([key, value]) => Object.hasOwn(sessionKeys, key) && value !== undefined,
  );
  return { session: Object.fromEntries(entries), policy };
}
