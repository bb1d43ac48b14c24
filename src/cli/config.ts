import { joinVerbs } from './family.js';
import { print } from './output.js';
import { readJson } from './policy-options.js';
import { defineVerb } from './verb.js';

const check = defineVerb({
  usage: 'cadre-containerd config check FILE',
  summary: 'say what is wrong with an isolation block on this host, or print the options that it comes to',
  example: 'cadre-containerd config check cadre.json',
  options: {},
  takes: ['file'],
  async run(_, [file]) {
    const { resolveIsolation } = await import('../config/isolation.js');
    const read = await readJson(file, 'file');
    // A whole configuration of the framework, or the block alone.
    const block = typeof read === 'object' && read !== null && 'isolation' in read ? read.isolation : read;
    const note = (message: string) => void process.stderr.write(`${message}\n`);
    const options = resolveIsolation(block, { warn: ({ message }) => note(message), log: note });
    print(JSON.stringify(options ?? null, undefined, 2));
    return 0;
  },
});

const schema = defineVerb({
  usage: 'cadre-containerd config schema',
  summary: 'print the JSON Schema of the isolation block',
  example: 'cadre-containerd config schema > isolation.schema.json',
  options: {},
  takes: [],
  async run() {
    const { buildIsolationSchema } = await import('../config/json-schema.js');
    print(JSON.stringify(buildIsolationSchema(), undefined, 2));
    return 0;
  },
});

export const configVerb = joinVerbs('config', "the framework's isolation block", { check, schema });
