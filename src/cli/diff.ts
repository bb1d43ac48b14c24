import { openProvider } from './connection.js';
import { outputOptions, printResult } from './output.js';
import { connectionOptions, defineVerb } from './verb.js';

const letters = { add: 'A', modify: 'C', delete: 'D' };

export const diffVerb = defineVerb({
  usage: 'cadre-containerd diff [--json] SESSION',
  summary: 'list what differs from the image: A added, C changed, D deleted',
  example: 'cadre-containerd diff web',
  options: { ...connectionOptions, ...outputOptions },
  takes: ['session'],
  async run(values, [name]) {
    await using provider = await openProvider(values);
    for (const change of await (await provider.connect(name)).diff()) {
      printResult(values, change, () => `${letters[change.kind]} ${change.path}`);
    }
    return 0;
  },
});
