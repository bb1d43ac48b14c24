import type { JsonSchema } from '../policy/schema.js';
import { isolationFields } from './fields.js';

/**
 * JSON Schema (draft 2020-12) of the framework's `isolation` block, old names included, for editors. It is made from the
 * tables that `resolveIsolation` reads. Shipped as `isolation.schema.json`.
 */
export function buildIsolationSchema(): JsonSchema {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Isolation block',
    description: 'Which provider isolates sessions, with what settings and under what policies.',
    ...isolationFields.schema,
  };
}
