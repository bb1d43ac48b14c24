import { watchSignals } from './terminal.js';
import { parseNumber } from './values.js';
import { connectionOptions, openProvider, readOptions, takeArguments, type Verb } from './verb.js';

export const logsVerb: Verb = {
  usage: 'cadre-containerd logs [-f] [--tail LINES] SESSION',
  summary: "print what a session's own command wrote; with -f go on until it ends",
  example: 'cadre-containerd logs -f --tail 10 web',
  async run(args) {
    const { values, rest } = readOptions(args, {
      ...connectionOptions,
      follow: { type: 'boolean', short: 'f' },
      tail: { type: 'string' },
    });
    const [name] = takeArguments(rest, 'session');
    const { follow = false, tail } = values;
    const lines = tail === undefined ? {} : { tail: parseNumber('tail', tail) };
    await using provider = openProvider(values);
    const session = await provider.connect(name);
    for await (const { source, data } of session.logs({ follow, ...lines, signal: watchSignals() })) {
      process[source].write(data);
    }
    return 0;
  },
};
