// JSON Schema of the policy, as it is shipped: node scripts/run-ts.mjs scripts/policy-schema.ts > policy.schema.json
import { buildPolicySchema } from '../src/policy/json-schema.js';

process.stdout.write(`${JSON.stringify(buildPolicySchema(), null, 2)}\n`);
