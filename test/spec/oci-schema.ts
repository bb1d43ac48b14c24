import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ajvDraft04 from 'ajv-draft-04';

const DIRECTORY = '/usr/share/gocode/src/github.com/opencontainers/runtime-spec/schema';
/** What the runtime specification's own JSON Schema finds wrong with a document; empty where it finds nothing. */
export const findSchemaFaults = compile();

function compile(): (spec: unknown) => string[] {
  // CommonJS's default export is its module here.
  const ajv = new ajvDraft04.default({ strict: false, allErrors: true, formats: { uint64: true, int64: true } });
  for (const file of readdirSync(DIRECTORY).filter((name) => name.endsWith('.json'))) {
    ajv.addSchema(JSON.parse(readFileSync(join(DIRECTORY, file), 'utf8')), file);
  }
  const validate = ajv.getSchema('config-schema.json');
  if (validate === undefined) throw new Error('the schema of the runtime specification is not there');
  return (spec) => {
    validate(spec);
    return (validate.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`);
  };
}
