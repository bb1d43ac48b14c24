import { openProvider } from './connection.js';
import { isJson, outputOptions, paint, print } from './output.js';
import { formatTable } from './table.js';
import { connectionOptions, defineVerb } from './verb.js';

const colours = { ok: 'green', warning: 'yellow', failed: 'red' } as const;

export const doctorVerb = defineVerb({
  usage: 'cadre-containerd doctor [--runtime NAME] [--json]',
  summary: 'tell whether sessions can run on this host, and what to do where not',
  example: 'cadre-containerd doctor --runtime kata',
  options: { ...connectionOptions, ...outputOptions, runtime: { type: 'string', hint: ['runc', 'kata'] } },
  takes: [],
  async run(values) {
    const { runtime } = values;
    await using provider = await openProvider(values, runtime === undefined ? {} : { runtime });
    const health = await provider.healthCheck();
    if (isJson(values)) print(JSON.stringify(health));
    else {
      const rows = health.details.checks.map(({ name, state, found, remedy = '' }) => [
        paint(colours[state], state),
        name,
        found,
        remedy,
      ]);
      process.stdout.write(formatTable(['STATE', 'CHECK', 'FOUND', 'REMEDY'], rows));
    }
    return health.healthy ? 0 : 1;
  },
});
