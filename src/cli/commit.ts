import { openProvider } from './connection.js';
import { outputOptions, printResult } from './output.js';
import { connectionOptions, defineVerb } from './verb.js';

export const commitVerb = defineVerb({
  usage: 'cadre-containerd commit [-m COMMENT] [--json] SESSION IMAGE',
  summary: "make an image of a session's files; one that runs is paused meanwhile",
  example: 'cadre-containerd commit web local/web:2',
  options: { ...connectionOptions, ...outputOptions, message: { type: 'string', short: 'm' } },
  takes: ['session', 'image'],
  async run(values, [name, image]) {
    await using provider = await openProvider(values);
    const comment = values.message === undefined ? {} : { comment: values.message };
    const { name: made, target } = await (await provider.connect(name)).commit({ image, ...comment });
    printResult(values, { name: made, target }, () => `${made} ${target.digest}`);
    return 0;
  },
});
