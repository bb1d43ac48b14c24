import type { Fault } from '../core/error.js';
import { suggestKey } from './suggest.js';

/** Everything that is wrong with an input, unknown names apart from wrong values. */
export interface Findings {
  unknown: Fault[];
  wrong: Fault[];
}

/** Looks at one value and adds what is wrong with it to the findings. */
export type Check = (value: unknown, path: string, findings: Findings) => void;

function expect(isRight: (value: unknown) => boolean, expected: string): Check {
  return (value, path, { wrong }) => {
    if (!isRight(value)) wrong.push({ path, value, expected });
  };
}

const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);

/** A whole number of at least `min` and at most `max`. */
export function whole(min: number, max: number = Number.MAX_SAFE_INTEGER, unit = ''): Check {
  const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
  return expect(
    (value) => Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max,
    `a whole number ${unit}${unit && ' '}${range}`,
  );
}

/** A number above 0. */
export const positive = expect((value) => isNumber(value) && value > 0, 'a number above 0');
export const boolean = expect((value) => typeof value === 'boolean', 'true or false');
export const text = expect(
  (value) => typeof value === 'string' && value !== '' && !value.includes('\0'),
  'a text that is not empty and has no NUL',
);
export const absolutePath = expect(
  (value) =>
    typeof value === 'string' &&
    /^\/./.test(value) &&
    !value.includes('\0') &&
    value
      .split('/')
      .slice(1)
      .every((part) => part !== '' && part !== '.' && part !== '..'),
  'an absolute path below /, without . .. or empty parts',
);

export function oneOf(...choices: readonly unknown[]): Check {
  return expect((value) => choices.includes(value), `one of ${choices.join(', ')}`);
}

export function matching(pattern: RegExp, expected: string): Check {
  return expect((value) => typeof value === 'string' && pattern.test(value), expected);
}

/** The first choice that finds nothing wrong; `expected` describes them all. */
export function either(expected: string, ...choices: readonly Check[]): Check {
  return (value, path, findings) => {
    const fits = choices.some((check) => {
      const own: Findings = { unknown: [], wrong: [] };
      check(value, path, own);
      return own.unknown.length + own.wrong.length === 0;
    });
    if (!fits) findings.wrong.push({ path, value, expected });
  };
}

export function list(item: Check): Check {
  return (value, path, findings) => {
    if (!Array.isArray(value)) findings.wrong.push({ path, value, expected: 'a list' });
    else
      value.forEach((entry, index) => {
        item(entry, `${path}[${index}]`, findings);
      });
  };
}

/** An object of known keys, each of which may be left out unless it is required. */
export function shape(keys: Record<string, Check>, required: readonly string[] = []): Check {
  const known = Object.keys(keys);
  return (value, path, findings) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      findings.wrong.push({ path: path || 'policy', value, expected: 'an object' });
      return;
    }
    const join = (key: string) => (path === '' ? key : `${path}.${key}`);
    for (const [key, entry] of Object.entries(value)) {
      const check = Object.hasOwn(keys, key) ? keys[key] : undefined;
      if (check !== undefined) {
        if (entry !== undefined) check(entry, join(key), findings);
        continue;
      }
      const suggestion = suggestKey(key, known);
      const fault = { path: join(key), value: entry, expected: `no such field, only ${known.join(', ')}` };
      findings.unknown.push(suggestion === undefined ? fault : { ...fault, suggestion });
    }
    for (const key of required) {
      if (!Object.hasOwn(value, key)) findings.wrong.push({ path: join(key), value: undefined, expected: 'a value' });
    }
  };
}
