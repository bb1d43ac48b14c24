import { diffPolicies } from '../policy/diff.js';
import { buildPolicySchema } from '../policy/json-schema.js';
import { parsePolicy } from '../policy/parse.js';
import { joinVerbs } from './family.js';
import { readPolicyFile } from './policy-options.js';
import { formatTable } from './table.js';
import { connectionOptions, openProvider, readOptions, takeArguments, takeNone, type Verb } from './verb.js';

const plan: Verb = {
  usage: 'cadre-containerd policy plan --image IMAGE [--json] FILE',
  summary: 'say what would become of a policy on this host, and how safe that is',
  example: 'cadre-containerd policy plan --image busybox:1 policy.json',
  async run(args) {
    const { values, rest } = readOptions(args, {
      ...connectionOptions,
      image: { type: 'string' },
      json: { type: 'boolean' },
    });
    const [file] = takeArguments(rest, 'file');
    const policy = await readPolicyFile(file);
    await using provider = openProvider(values, values.image === undefined ? {} : { image: values.image });
    const planned = await provider.plan(policy);
    if (values.json) process.stdout.write(`${JSON.stringify(planned)}\n`);
    else {
      process.stdout.write(`score ${planned.score} of 100 on ${planned.runtime}\n`);
      for (const { weight, path, message } of planned.findings) {
        process.stdout.write(`  -${weight} ${path}: ${message}\n`);
      }
      for (const { path, expected } of planned.mismatches) {
        process.stdout.write(`cannot be honoured here: ${path}, expected ${expected}\n`);
      }
    }
    return planned.mismatched.length === 0 ? 0 : 1;
  },
};

const check: Verb = {
  usage: 'cadre-containerd policy check FILE',
  summary: 'say what is wrong with a policy in itself, without looking at any host',
  example: 'cadre-containerd policy check policy.json',
  async run(args) {
    const [file] = takeArguments(readOptions(args, {}).rest, 'file');
    parsePolicy(await readPolicyFile(file));
    process.stdout.write('ok\n');
    return 0;
  },
};

const diff: Verb = {
  usage: 'cadre-containerd policy diff [--json] FILE FILE',
  summary: 'say what differs between two policies, and what that takes',
  example: 'cadre-containerd policy diff old.json new.json',
  async run(args) {
    const { values, rest } = readOptions(args, { json: { type: 'boolean' } });
    const [from, to] = takeArguments(rest, 'file', 'file');
    const changes = diffPolicies(await readPolicyFile(from), await readPolicyFile(to));
    if (values.json) process.stdout.write(`${JSON.stringify(changes)}\n`);
    else {
      const show = (value: unknown) => (value === undefined ? '-' : JSON.stringify(value));
      const rows = changes.map((change) => [change.path, show(change.from), show(change.to), change.needs]);
      process.stdout.write(formatTable(['FIELD', 'FROM', 'TO', 'TAKES'], rows));
    }
    return 0;
  },
};

const schema: Verb = {
  usage: 'cadre-containerd policy schema',
  summary: 'print the JSON Schema of a policy',
  example: 'cadre-containerd policy schema > policy.schema.json',
  async run(args) {
    takeNone(readOptions(args, {}).rest);
    process.stdout.write(`${JSON.stringify(buildPolicySchema(), undefined, 2)}\n`);
    return 0;
  },
};

export const policyVerb = joinVerbs('policy', 'what policies mean', { plan, check, diff, schema });
