import { createInputError, type Fault } from '../core/error.js';
import type { IsolationPolicy } from '../policy/types.js';

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
  /** Free labels, to list and to find sessions by. */
  metadata?: Record<string, string>;
  /** Ms after which any process's reaper removes the session, even while in use. Without it, it ends with its owner. */
  ttlMs?: number;
  signal?: AbortSignal;
}

export type CreateOptions = IsolationPolicy & SessionOptions;

const isText = (value: unknown) => typeof value === 'string' && value !== '' && !value.includes('\0');
const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** containerd takes ids of 76 characters; the prefix and the suffix that make one of a name take 15. */
const namePattern = /^(?=.{1,61}$)[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*$/;
/** containerd takes labels of 4096 bytes, key and value together; the key has our prefix. */
const METADATA_BYTES = 4000;

const rules: Record<keyof SessionOptions, [accepts: (value: unknown) => boolean, expected: string]> = {
  image: [isText, 'an image reference'],
  runtime: [isText, 'the name of a runtime'],
  name: [
    (value) => isText(value) && namePattern.test(value as string),
    'at most 61 letters and digits, with single . _ - between them',
  ],
  command: [
    (value) => Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'string'),
    'an array of texts that is not empty',
  ],
  tty: [(value) => typeof value === 'boolean', 'true or false'],
  stdin: [(value) => typeof value === 'boolean', 'true or false'],
  env: [
    (value) => isRecord(value) && Object.values(value).every((item) => typeof item === 'string'),
    'an object of texts',
  ],
  metadata: [
    (value) =>
      isRecord(value) &&
      Object.entries(value).every(
        ([key, item]) =>
          /^[A-Za-z0-9._/-]+$/.test(key) &&
          typeof item === 'string' &&
          key.length + Buffer.byteLength(item) <= METADATA_BYTES,
      ),
    `texts under keys of letters, digits and . _ / -, each of at most ${METADATA_BYTES} bytes`,
  ],
  ttlMs: [(value) => Number.isSafeInteger(value) && (value as number) > 0, 'a whole number of ms, at least 1'],
  signal: [(value) => value instanceof AbortSignal, 'an AbortSignal'],
};

/** Parts what a caller gave in one object. What is left, unknown keys included, is for the policy to judge. */
export function splitOptions(given: object): { session: SessionOptions; policy: unknown } {
  // Anything but a plain object is no policy either, which then says so.
  if (!isPlain(given)) return { session: {}, policy: given };
  const faults: Fault[] = [];
  const session: [string, unknown][] = [];
  const policy: [string, unknown][] = [];
  for (const [path, value] of Object.entries(given)) {
    const rule = Object.hasOwn(rules, path) ? rules[path as keyof SessionOptions] : undefined;
    if (rule === undefined) policy.push([path, value]);
    else if (value !== undefined && rule[0](value)) session.push([path, value]);
    else if (value !== undefined) faults.push({ path, value, expected: rule[1] });
  }
  if (faults.length > 0) throw createInputError('session options', faults);
  // Built from entries: assigning would let a key `__proto__` set the prototype.
  return { session: Object.fromEntries(session), policy: Object.fromEntries(policy) };
}

function isPlain(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
