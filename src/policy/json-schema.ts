import { policyKeys } from './fields.js';
import { type JsonSchema, shape } from './schema.js';

/**
 * JSON Schema (draft 2020-12) of a policy in either form, for editors and for checks before a policy is sent. It is made
 * from the tables that `createSession` reads, and says what is right by itself: fields that contradict each other, and
 * what this host cannot honour, are found when a session is created. Shipped as `policy.schema.json`.
 */
export function buildPolicySchema(): JsonSchema {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Isolation policy',
    description: 'What a session may do and use, in the canonical form, the flat form or both.',
    ...shape(policyKeys).schema,
  };
}
