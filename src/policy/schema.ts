import { type Fault, formatValue } from '../core/error.js';
import { suggestKey } from './suggest.js';

/** Everything that is wrong with an input, unknown names apart from wrong values. */
export interface Findings {
  unknown: Fault[];
  wrong: Fault[];
}

/** Looks at one value and adds what is wrong with it to the findings. */
export type Check = (value: unknown, path: string, findings: Findings) => void;

/** A plain object of any realm: no array, and no class or Map, whose content is elsewhere than in its own fields. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

export function accept(isRight: (value: unknown) => boolean, expected: string): Check {
  return (value, path, { wrong }) => {
    if (!isRight(value)) wrong.push({ path, value, expected });
  };
}

/** A text of which the rest holds. */
export function acceptText(isRight: (value: string) => boolean, expected: string): Check {
  return accept((value) => typeof value === 'string' && isRight(value), expected);
}

/** A whole number of at least `min` and at most `max`. */
export function whole(min: number, max: number = Number.MAX_SAFE_INTEGER, unit = ''): Check {
  const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
  return accept(
    (value) => typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max,
    `a whole number ${unit}${unit && ' '}${range}`,
  );
}

export const boolean = accept((value) => typeof value === 'boolean', 'true or false');

export const text = acceptText(
  (value) => value !== '' && !value.includes('\0'),
  'a text that is not empty and has no NUL',
);

export const absolutePath = acceptText(
  (value) =>
    value.startsWith('/') &&
    !value.includes('\0') &&
    value
      .split('/')
      .slice(1)
      .every((part) => part !== '' && part !== '.' && part !== '..'),
  'an absolute path below /, without . .. or empty parts',
);

export function oneOf(...choices: readonly string[]): Check {
  return acceptText((value) => choices.includes(value), `one of ${choices.join(', ')}`);
}

/** The first choice that finds nothing wrong; `expected` describes them all. */
export function either(expected: string, ...choices: readonly Check[]): Check {
  return accept(
    (value) =>
      choices.some((check) => {
        const { unknown, wrong }: Findings = { unknown: [], wrong: [] };
        check(value, '', { unknown, wrong });
        return unknown.length + wrong.length === 0;
      }),
    expected,
  );
}

/** An object is held to its shape, so that its fields are named one by one, and anything else to `otherwise`. */
export function shapeOr(expected: string, object: Check, otherwise: Check): Check {
  const simple = either(expected, otherwise);
  return (value, path, findings) => (isRecord(value) ? object : simple)(value, path, findings);
}

export function list(item: Check): Check {
  return (value, path, findings) => {
    if (!Array.isArray(value)) {
      findings.wrong.push({ path, value, expected: 'a list' });
      return;
    }
    // entries() meets holes, which forEach would pass over.
    for (const [index, entry] of value.entries()) item(entry, `${path}[${index}]`, findings);
  };
}

/** An object of known keys, each of which may be left out unless it is required. */
export function shape(keys: Record<string, Check>, required: readonly string[] = []): Check {
  const known = Object.keys(keys);
  return (value, path, findings) => {
    if (!isRecord(value)) {
      findings.wrong.push({ path, value, expected: 'a plain object' });
      return;
    }
    for (const [key, entry] of Object.entries(value)) {
      const check = Object.hasOwn(keys, key) ? keys[key] : undefined;
      if (check === undefined) {
        const suggestion = suggestKey(key, known);
        const fault = { path: joinPath(path, key), value: entry, expected: `one of the fields ${known.join(', ')}` };
        findings.unknown.push(suggestion === undefined ? fault : { ...fault, suggestion });
      } else if (entry !== undefined) check(entry, joinPath(path, key), findings);
    }
    for (const key of required) {
      if (!Object.hasOwn(value, key) || value[key] === undefined) {
        findings.wrong.push({ path: joinPath(path, key), value: undefined, expected: 'a value' });
      }
    }
  };
}

/** `a.b`, or `a["x y"]` where a key would break the line or the path. */
function joinPath(path: string, key: string): string {
  if (!/^[\w$-]{1,80}$/.test(key)) return `${path}[${formatValue(key)}]`;
  return path === '' ? key : `${path}.${key}`;
}
