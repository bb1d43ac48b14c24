import fc from 'fast-check';
import type { JsonSchema } from '../../src/index.js';

/** Wrong, or right in the wrong place: what JSON can carry and people or attackers write. */
export const hostileJson: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom(null, '', '\0', 'a\0b', '../..', '/proc/self/fd/7', '__proto__', -1, 0, 0.5, 2 ** 53, 1e308, true),
  fc.constantFrom([], {}, [[]], [null], { path: 1 }, { constructor: 1 }, JSON.parse('{"__proto__": {"x": 1}}')),
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.double(),
  fc.jsonValue({ maxDepth: 2 }),
);

interface Keywords {
  anyOf?: JsonSchema[];
  enum?: unknown[];
  type?: string;
  pattern?: string;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  items?: JsonSchema;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  additionalProperties?: JsonSchema | false;
}

/**
 * Values that a schema of ours allows, so that fields which are added to it are met without a word here. Of every
 * `1 / hostility` places one holds something else.
 */
export function arbitraryOf(schema: JsonSchema, hostility: number): fc.Arbitrary<unknown> {
  const right = arbitraryRight(schema as Keywords, hostility);
  if (hostility === 0) return right;
  const weight = Math.round(1 / hostility);
  const wrong = fc.oneof(hostileJson, arbitraryEdge(schema as Keywords, right));
  return fc.oneof({ weight: weight - 1, arbitrary: right }, { weight: 1, arbitrary: wrong });
}

/** Just beyond what is right: where a rule and its schema part if they ever do. */
function arbitraryEdge({ type, minimum, maximum, maxLength = 0 }: Keywords, right: fc.Arbitrary<unknown>) {
  const numbers = [minimum, maximum].flatMap((edge) => (edge === undefined ? [] : [edge - 1, edge, edge + 1]));
  if (numbers.length > 0) return fc.constantFrom(...numbers);
  if (type !== 'string') return right.map((value) => [value]);
  return right
    .map((value) => String(value))
    .chain((text) => {
      const long = (text[0] ?? 'x').repeat(maxLength);
      return fc.constantFrom(`${text}\0`, ` ${text}`, `${text}/`, text.toUpperCase(), long, `${long}x`);
    });
}

function arbitraryRight(schema: Keywords, hostility: number): fc.Arbitrary<unknown> {
  const { anyOf, enum: choices, minimum = -(2 ** 40), maximum = 2 ** 40 } = schema;
  if (anyOf !== undefined) return fc.oneof(...anyOf.map((choice) => arbitraryOf(choice, 0)));
  if (choices !== undefined) return fc.constantFrom(...choices);
  switch (schema.type) {
    case 'boolean':
      return fc.boolean();
    case 'integer':
      return fc.oneof(
        fc.integer({ min: minimum, max: maximum }),
        fc.constantFrom(minimum, maximum),
        fc.integer({ min: minimum, max: Math.min(maximum, minimum + 1000) }),
      );
    case 'number':
      return fc.oneof(fc.double({ min: minimum, max: 128, noNaN: true }), fc.constant(minimum));
    case 'string':
      // fast-check makes no texts for assertions: what they exclude is met now and then, and is then to be refused.
      return fc.stringMatching(new RegExp((schema.pattern ?? '').replace(/\(\?!\\\.\\\.\?\(\?:\/\|\$\)\)/, ''), 'u'), {
        size: 'small',
      });
    case 'array':
      return fc.array(arbitraryOf(schema.items ?? {}, hostility), { maxLength: 3 });
    case 'object':
      return arbitraryObject(schema, hostility);
    default:
      throw new Error(`no values are made of ${JSON.stringify(schema)}`);
  }
}

function arbitraryObject({ properties = {}, required = [], additionalProperties }: Keywords, hostility: number) {
  const model = Object.fromEntries(
    Object.entries(properties).map(([key, field]) => [key, arbitraryOf(field, hostility)]),
  );
  const known = fc.record(model, { requiredKeys: required, noNullPrototype: true });
  if (additionalProperties)
    return fc.dictionary(fc.string({ minLength: 1 }), arbitraryOf(additionalProperties, hostility), { maxKeys: 3 });
  if (hostility === 0) return known;
  const strange = fc.tuple(
    known,
    fc.oneof(fc.constantFrom(...Object.keys(properties).map((key) => key.toLowerCase())), fc.string()),
    hostileJson,
  );
  const weight = Math.round(1 / hostility);
  return fc.oneof(
    { weight: weight - 2, arbitrary: known },
    {
      weight: 1,
      arbitrary: strange.map(([object, key, value]) => Object.fromEntries([...Object.entries(object), [key, value]])),
    },
    // A key that is required, or any other, left out.
    { weight: 1, arbitrary: known.map((object) => Object.fromEntries(Object.entries(object).slice(1))) },
  );
}
