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

/** `isHidden` keeps a value that may hold secrets out of the fault. */
export function accept(isRight: (value: unknown) => boolean, expected: string, { isHidden = false } = {}): Rule {
  return {
    check(value, path, { wrong }) {
      if (!isRight(value)) wrong.push({ path, value: isHidden ? '[hidden]' : value, expected });
    },
  };
}

export const aFunction = accept((value) => typeof value === 'function', 'a function');

export const abortSignal = accept((value) => value instanceof AbortSignal, 'an AbortSignal');

/** Values are checked where the environment is built, as they are bounded by the whole of it. */
export const environment = accept(isRecord, 'an object of texts', { isHidden: true });

/** An object whose keys match and whose values are all held to one rule. */
export function dictionary(key: RegExp, expectedKey: string, item: Rule): Rule {
  return {
    check(value, path, findings) {
      if (!isRecord(value)) return void findings.wrong.push({ path, value, expected: 'a plain object' });
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
      if (!isRecord(value)) return void findings.wrong.push({ path, value, expected: 'a plain object' });
      for (const [key, entry] of Object.entries(value)) {
        const rule = Object.hasOwn(keys, key) ? keys[key] : undefined;
        if (rule !== undefined) {
          if (entry !== undefined) rule.check(entry, joinPath(path, key), findings);
          continue;
        }
        const suggestion = suggestKey(key, known);
        const fault = { path: joinPath(path, key), value: entry, expected: `one of the fields ${known.join(', ')}` };
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
  if (faults.length > 0) throw createInputError(subject, faults.map(namePath));
}

/** What is given instead of an object has no path of its own. */
function namePath(fault: Fault): Fault {
  return fault.path === '' ? { ...fault, path: 'options' } : fault;
}

/** `a.b`, or `a["x y"]` where a key would break the line or the path. */
function joinPath(path: string, key: string): string {
  if (!/^[\w$-]{1,80}$/.test(key)) return `${path}[${formatValue(key)}]`;
  return path === '' ? key : `${path}.${key}`;
}
