import { formatTable } from './table.js';
import { connectionOptions, openProvider, readOptions, takeNone, type Verb } from './verb.js';

export const doctorVerb: Verb = {
  usage: 'cadre-containerd doctor [--runtime NAME] [--json]',
  summary: 'tell whether sessions can run on this host, and what to do where not',
  example: 'cadre-containerd doctor --runtime kata',
  async run(args) {
    const { values, rest } = readOptions(args, {
      ...connectionOptions,
      runtime: { type: 'string' },
      json: { type: 'boolean' },
    });
    takeNone(rest);
    const { runtime } = values;
    await using provider = openProvider(values, runtime === undefined ? {} : { runtime });
    const health = await provider.healthCheck();
    const rows = health.details.checks.map(({ name, state, found, remedy = '' }) => [state, name, found, remedy]);
    process.stdout.write(
      values.json ? `${JSON.stringify(health)}\n` : formatTable(['STATE', 'CHECK', 'FOUND', 'REMEDY'], rows),
    );
    return health.healthy ? 0 : 1;
  },
};
