import { connectionOptions, openProvider, readOptions, takeArguments, type Verb } from './verb.js';

const letters = { add: 'A', modify: 'C', delete: 'D' };

export const diffVerb: Verb = {
  usage: 'cadre-containerd diff [--json] SESSION',
  summary: 'list what differs from the image: A added, C changed, D deleted',
  example: 'cadre-containerd diff web',
  async run(args) {
    const { values, rest } = readOptions(args, { ...connectionOptions, json: { type: 'boolean' } });
    const [name] = takeArguments(rest, 'session');
    await using provider = openProvider(values);
    for (const change of await (await provider.connect(name)).diff()) {
      process.stdout.write(values.json ? `${JSON.stringify(change)}\n` : `${letters[change.kind]} ${change.path}\n`);
    }
    return 0;
  },
};
