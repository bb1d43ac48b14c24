import { accept, type Findings, isRecord, object, type Rule } from './rule.js';

/** JSON Schema, draft 2020-12. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** A rule for what JSON can carry, said in JSON Schema as well: both are made from the same values. */
export interface Field extends Rule {
  readonly schema: JsonSchema;
}

export type Fields = Readonly<Record<string, Field>>;

/** PATH_MAX of the kernel without its NUL; also the most of any text that does not say otherwise. */
const TEXT_LENGTH = 4095;

function field(isRight: (value: unknown) => boolean, expected: string, schema: JsonSchema): Field {
  return { ...accept(isRight, expected), schema: { ...schema, description: expected } };
}

/**
 * A text that matches. The length is looked at first: a regular expression meets the end of its stack in a text of
 * megabytes. Characters are counted as JSON Schema does, not in UTF-16.
 */
export function pattern(source: string, expected: string, maxLength = TEXT_LENGTH): Field {
  const expression = new RegExp(source, 'u');
  const isShort = (value: string) => value.length <= 2 * maxLength && [...value].length <= maxLength;
  return field((value) => typeof value === 'string' && isShort(value) && expression.test(value), expected, {
    type: 'string',
    pattern: source,
    maxLength,
  });
}

/** A pattern for names that may be spelt in either case, which JSON Schema has no flag for. */
export function ignoreCase(names: readonly string[]): string {
  const spell = (name: string) =>
    name.replace(/[a-z]/gi, (letter) => `[${letter.toUpperCase()}${letter.toLowerCase()}]`);
  return `(?:${names.map(spell).join('|')})`;
}

export function text(maxLength = TEXT_LENGTH): Field {
  return pattern(
    '^[^\\u0000]+$',
    `a text of at most ${maxLength} characters that is not empty and has no NUL`,
    maxLength,
  );
}

export const absolutePath = pattern(
  '^(?:/(?!\\.\\.?(?:/|$))[^/\\u0000]+)+$',
  'an absolute path below /, without . .. or empty parts',
);

/** A whole number of at least `min` and at most `max`. */
export function whole(min: number, max: number = Number.MAX_SAFE_INTEGER, unit = ''): Field {
  const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
  return field(
    (value) => typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max,
    `a whole number ${unit}${unit && ' '}${range}`,
    { type: 'integer', minimum: min, maximum: max },
  );
}

export function atLeast(minimum: number, expected: string): Field {
  const isRight = (value: unknown) => typeof value === 'number' && Number.isFinite(value) && value >= minimum;
  return field(isRight, expected, { type: 'number', minimum });
}

export const boolean = field((value) => typeof value === 'boolean', 'true or false', { type: 'boolean' });

export function oneOf(...choices: readonly string[]): Field {
  const isRight = (value: unknown) => typeof value === 'string' && choices.includes(value);
  return field(isRight, `one of ${choices.join(', ')}`, { enum: choices });
}

/** What one of the choices accepts; `expected` describes them all. */
export function either(expected: string, ...choices: readonly Field[]): Field {
  const isRight = (value: unknown) =>
    choices.some((choice) => {
      const { unknown, wrong }: Findings = { unknown: [], wrong: [] };
      choice.check(value, '', { unknown, wrong });
      return unknown.length + wrong.length === 0;
    });
  return field(isRight, expected, { anyOf: choices.map(({ schema }) => schema) });
}

/** An object is held to its shape, so that its fields are named one by one, and anything else to `otherwise`. */
export function shapeOr(expected: string, shaped: Field, otherwise: Field): Field {
  const simple = either(expected, otherwise);
  return {
    check: (value, path, findings) => (isRecord(value) ? shaped : simple).check(value, path, findings),
    schema: { anyOf: [otherwise.schema, shaped.schema], description: expected },
  };
}

const array = accept(Array.isArray, 'a list');

export function list(item: Field): Field {
  return {
    check(value, path, findings) {
      array.check(value, path, findings);
      // entries() meets holes, which forEach would pass over.
      for (const [index, entry] of Array.isArray(value) ? value.entries() : []) {
        item.check(entry, `${path}[${index}]`, findings);
      }
    },
    schema: { type: 'array', items: item.schema },
  };
}

/** An object of known keys, each of which may be left out unless it is required. */
export function shape(keys: Fields, required: readonly string[] = []): Field {
  const properties = Object.fromEntries(Object.entries(keys).map(([key, { schema }]) => [key, schema]));
  return {
    ...object(keys, required),
    schema: { type: 'object', properties, ...(required.length > 0 ? { required } : {}), additionalProperties: false },
  };
}

/** An object of any keys, whose values are all held to one field. */
export function map(item: Field): Field {
  return {
    check(value, path, findings) {
      const keys = isRecord(value) ? Object.keys(value) : [];
      object(Object.fromEntries(keys.map((key) => [key, item]))).check(value, path, findings);
    },
    schema: { type: 'object', additionalProperties: item.schema },
  };
}
