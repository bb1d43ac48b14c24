import { openProvider } from './connection.js';
import { joinVerbs } from './family.js';
import { isJson, outputOptions, print } from './output.js';
import { readPolicyFile } from './policy-options.js';
import { formatTable } from './table.js';
import { connectionOptions, defineVerb } from './verb.js';

const plan = defineVerb({
  usage: 'cadre-containerd policy plan --image IMAGE [--json] FILE',
  summary: 'say what would become of a policy on this host, and how safe that is',
  example: 'cadre-containerd policy plan --image busybox:1 policy.json',
  options: { ...connectionOptions, ...outputOptions, image: { type: 'string', hint: 'image' } },
  takes: ['file'],
  async run(values, [file]) {
    const policy = await readPolicyFile(file);
    await using provider = await openProvider(values, values.image === undefined ? {} : { image: values.image });
    const planned = await provider.plan(policy);
    if (isJson(values)) print(JSON.stringify(planned));
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
});

const check = defineVerb({
  usage: 'cadre-containerd policy check FILE',
  summary: 'say what is wrong with a policy in itself, without looking at any host',
  example: 'cadre-containerd policy check policy.json',
  options: {},
  takes: ['file'],
  async run(_, [file]) {
    const { parsePolicy } = await import('../policy/parse.js');
    parsePolicy(await readPolicyFile(file));
    print('ok');
    return 0;
  },
});

const diff = defineVerb({
  usage: 'cadre-containerd policy diff [--json] FILE FILE',
  summary: 'say what differs between two policies, and what that takes',
  example: 'cadre-containerd policy diff old.json new.json',
  options: outputOptions,
  takes: ['file', 'file'],
  async run(values, [from, to]) {
    const { diffPolicies } = await import('../policy/diff.js');
    const changes = diffPolicies(await readPolicyFile(from), await readPolicyFile(to));
    if (isJson(values)) print(JSON.stringify(changes));
    else {
      const show = (value: unknown) => (value === undefined ? '-' : JSON.stringify(value));
      const rows = changes.map((change) => [change.path, show(change.from), show(change.to), change.needs]);
      process.stdout.write(formatTable(['FIELD', 'FROM', 'TO', 'TAKES'], rows));
    }
    return 0;
  },
});

const schema = defineVerb({
  usage: 'cadre-containerd policy schema',
  summary: 'print the JSON Schema of a policy',
  example: 'cadre-containerd policy schema > policy.schema.json',
  options: {},
  takes: [],
  async run() {
    const { buildPolicySchema } = await import('../policy/json-schema.js');
    print(JSON.stringify(buildPolicySchema(), undefined, 2));
    return 0;
  },
});

export const policyVerb = joinVerbs('policy', 'what policies mean', { plan, check, diff, schema });
