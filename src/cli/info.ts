import { connectionOptions, openProvider, readOptions, takeArguments, type Verb } from './verb.js';

export const infoVerb: Verb = {
  usage: 'cadre-containerd info SESSION',
  summary: 'print what a session is, as JSON',
  example: 'cadre-containerd info web',
  async run(args) {
    const { values, rest } = readOptions(args, { ...connectionOptions, json: { type: 'boolean' } });
    const [name] = takeArguments(rest, 'session');
    await using provider = openProvider(values);
    const info = await (await provider.connect(name)).info();
    process.stdout.write(`${JSON.stringify(info, undefined, values.json ? undefined : 2)}\n`);
    return 0;
  },
};
