// The JSON Schemas that are shipped, into a directory: node scripts/run-ts.mjs scripts/schemas.ts DIRECTORY
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildIsolationSchema } from '../src/config/json-schema.js';
import { buildPolicySchema } from '../src/policy/json-schema.js';

const [directory = '.'] = process.argv.slice(2);
const schemas = { policy: buildPolicySchema(), isolation: buildIsolationSchema() };
for (const [name, schema] of Object.entries(schemas)) {
  writeFileSync(join(directory, `${name}.schema.json`), `${JSON.stringify(schema, null, 2)}\n`);
}
