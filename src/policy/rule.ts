import { createInputError, type Fault, formatValue } from '../core/error.js';
import { suggestKey } from './suggest.js';

/** Everything that is wrong with an input, unknown names apart from wrong values. */
export interface Findings {
  unknown: Fault[];
  wrong: Fault[];
}

/** What one value has to be. */
export interface Rule {
  /** Adds what is wrong with the value to the findings. */
  check(value: unknown, path: string, findings: Findings): void;
}

export type Rules = Readonly<Record<string, Rule>>;

/** The longest that a timer of Node runs, in ms: a longer one overflows and fires at once. */
export const TIMER_MS = 2 ** 31 - 1;

/** A plain object of any realm: no array, and no class or Map, whose content is elsewhere than in its own fields. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

export function accept(isRight: (value: unknown) => boolean, expected: string): Rule {
  return {
    check(value, path, { wrong }) {
      if (!isRight(value)) wrong.push({ path, value: isOpaque(value) ? HIDDEN : value, expected });
    },
  };
}

const HIDDEN = '[hidden]';

/** What stands in the wrong place may hold secrets anywhere within it. */
function isOpaque(value: unknown): boolean {
  return typeof value === 'function' || (typeof value === 'object' && value !== null && Object.keys(value).length > 0);
}

/** The same rule, with no value in its faults. */
export function hide<R extends Rule>(rule: R): R {
  const check: Rule['check'] = (value, path, findings) => {
    const own: Findings = { unknown: [], wrong: [] };
    rule.check(value, path, own);
    const conceal = (fault: Fault) => ({ ...fault, value: fault.value === undefined ? undefined : HIDDEN });
    findings.unknown.push(...own.unknown.map(conceal));
    findings.wrong.push(...own.wrong.map(conceal));
  };
  return { ...rule, check };
}

/** A text where an object is expected may be one in JSON, secrets and all. */
const record = accept(isRecord, 'a plain object');

function checkRecord(value: unknown, path: string, findings: Findings): value is Record<string, unknown> {
  (typeof value === 'string' ? hide(record) : record).check(value, path, findings);
  return isRecord(value);
}

export const aFunction = accept((value) => typeof value === 'function', 'a function');

export const abortSignal = accept((value) => value instanceof AbortSignal, 'an AbortSignal');

/** Values are checked where the environment is built, as they are bounded by the whole of it. */
export const environment = hide(accept(isRecord, 'an object of texts'));

/** An object whose keys match and whose values are all held to one rule. */
export function dictionary(key: RegExp, expectedKey: string, item: Rule): Rule {
  return {
    check(value, path, findings) {
      if (!checkRecord(value, path, findings)) return;
      for (const [name, entry] of Object.entries(value)) {
        const at = joinPath(path, name);
        if (key.test(name)) item.check(entry, at, findings);
        else findings.wrong.push({ path: at, value: name, expected: expectedKey });
      }
    },
  };
}

/** An object of known keys, each of which may be left out, or be undefined, unless it is required. */
export function object(keys: Rules, required: readonly string[] = []): Rule {
  const known = Object.keys(keys);
  return {
    check(value, path, findings) {
      if (!checkRecord(value, path, findings)) return;
      for (const [key, entry] of Object.entries(value)) {
        const rule = Object.hasOwn(keys, key) ? keys[key] : undefined;
        if (rule !== undefined) {
          if (entry !== undefined) rule.check(entry, joinPath(path, key), findings);
          continue;
        }
        const suggestion = suggestKey(key, known);
        // Secrets also stand under a misspelt name, such as `secret`.
        const shown = typeof entry === 'string' || isOpaque(entry) ? HIDDEN : entry;
        const fault = { path: joinPath(path, key), value: shown, expected: `one of the fields ${known.join(', ')}` };
        findings.unknown.push(suggestion === undefined ? fault : { ...fault, suggestion });
      }
      for (const key of required) {
        if (Object.hasOwn(value, key) && value[key] !== undefined) continue;
        keys[key]?.check(undefined, joinPath(path, key), findings);
      }
    },
  };
}

/** Throws `invalid-argument` with every fault of an options object: unknown keys, wrong values, missing ones. */
export function checkOptions(subject: string, options: unknown, rules: Rules, required: readonly string[] = []): void {
  const findings: Findings = { unknown: [], wrong: [] };
  object(rules, required).check(options, '', findings);
  const faults = [...findings.unknown, ...findings.wrong];
  // What is given instead of an object has no path of its own.
  if (faults.length > 0)
    throw createInputError(
      subject,
      faults.map((fault) => ({ ...fault, path: fault.path || 'options' })),
    );
}

/** `a.b`, or `a["x y"]` where a key would break the line or the path. */
function joinPath(path: string, key: string): string {
  if (!/^[\w$-]{1,80}$/.test(key)) return `${path}[${formatValue(key)}]`;
  return path === '' ? key : `${path}.${key}`;
}
