import { openProvider } from './connection.js';
import { watchSignals } from './terminal.js';
import { parseNumber } from './values.js';
import { connectionOptions, defineVerb } from './verb.js';

export const logsVerb = defineVerb({
  usage: 'cadre-containerd logs [-f] [--tail LINES] SESSION',
  summary: "print what a session's own command wrote; with -f go on until it ends",
  example: 'cadre-containerd logs -f --tail 10 web',
  options: { ...connectionOptions, follow: { type: 'boolean', short: 'f' }, tail: { type: 'string' } },
  takes: ['session'],
  async run({ follow = false, tail, ...values }, [name]) {
    const lines = tail === undefined || tail === 'all' ? {} : { tail: parseNumber('tail', tail) };
    await using provider = await openProvider(values);
    const session = await provider.connect(name);
    for await (const { source, data } of session.logs({ follow, ...lines, signal: watchSignals() })) {
      process[source].write(data);
    }
    return 0;
  },
});
