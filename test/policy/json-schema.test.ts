import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { policyKeys } from '../../src/policy/fields.js';
import { buildPolicySchema } from '../../src/policy/json-schema.js';
import { builtInProfiles } from '../../src/policy/profiles.js';
import { type Findings, object } from '../../src/policy/rule.js';
import { arbitraryOf, hostileJson } from '../support/json-arbitrary.js';
import { countRuns } from '../support/runs.js';

const schema = buildPolicySchema();
const validate = new Ajv2020({ strict: true, allowUnionTypes: false }).compile(schema);
const rule = object(policyKeys);

function isRight(value: unknown): boolean {
  const findings: Findings = { unknown: [], wrong: [] };
  rule.check(value, '', findings);
  return findings.unknown.length + findings.wrong.length === 0;
}

test.each([
  ['right policies', arbitraryOf(schema, 0), [0.5, 1]],
  ['nearly right ones', arbitraryOf(schema, 1 / 60), [0.2, 0.95]],
  ['anything else', hostileJson, [0, 0.5]],
] as const)(
  '%s: the schema and the parser agree',
  (_, policies, [least, most]) => {
    let seen = 0;
    let accepted = 0;
    fc.assert(
      fc.property(policies, (policy) => {
        // As it comes out of a file.
        const json = JSON.parse(JSON.stringify(policy) ?? 'null');
        seen++;
        if (isRight(json)) accepted++;
        if (isRight(json) !== validate(json))
          expect({ json, parser: isRight(json), schema: validate.errors }).toBeNull();
      }),
      { numRuns: countRuns(5_000) },
    );
    // Both sides of the line were walked.
    expect(accepted / seen).toBeGreaterThanOrEqual(least);
    expect(accepted / seen).toBeLessThanOrEqual(most);
  },
  600_000,
);

test('the built-in profiles are right by it, and what is not is said in words', () => {
  for (const profile of Object.values(builtInProfiles)) expect(validate(profile)).toBe(true);
  const { properties } = schema as { properties: Record<string, { description?: string }> };
  expect(Object.keys(properties).sort()).toEqual(Object.keys(policyKeys).sort());
  expect(properties.memory?.description).toMatch(/bytes/);
});

test.each([
  ['/a', true],
  ['/', false],
  ['/a/', false],
  ['/a/..', false],
  ['/...', true],
  ['/.a/b', true],
  ['a', false],
  [`/${'x'.repeat(4_094)}`, true],
  [`/${'x'.repeat(4_095)}`, false],
  [`/${'\u{1f600}'.repeat(4_094)}`, true],
  ['/a'.repeat(10_000_000), false],
])('a path by both: %#', (path, expected) => {
  const policy = { seccomp: { path } };
  expect(isRight(policy)).toBe(expected);
  if (path.length < 10_000) expect(validate(policy)).toBe(expected);
});
