import { connectionOptions, openProvider, readOptions, takeArguments, type Verb } from './verb.js';

export const commitVerb: Verb = {
  usage: 'cadre-containerd commit [-m COMMENT] SESSION IMAGE',
  summary: "make an image of a session's files; one that runs is paused meanwhile",
  example: 'cadre-containerd commit web local/web:2',
  async run(args) {
    const { values, rest } = readOptions(args, { ...connectionOptions, message: { type: 'string', short: 'm' } });
    const [name, image] = takeArguments(rest, 'session', 'image');
    await using provider = openProvider(values);
    const comment = values.message === undefined ? {} : { comment: values.message };
    const { name: made, target } = await (await provider.connect(name)).commit({ image, ...comment });
    process.stdout.write(`${made} ${target.digest}\n`);
    return 0;
  },
};
