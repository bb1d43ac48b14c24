import { createInputError } from '../core/error.js';
import { parseDuration, parseNumber } from './values.js';
import { connectionOptions, openProvider, readOptions, takeArguments, type Verb } from './verb.js';

export const forkVerb: Verb = {
  usage: 'cadre-containerd fork --ttl DURATION [--count N] SESSION',
  summary: 'make sessions that begin with the files of another and go their own way',
  example: 'cadre-containerd fork --ttl 1h --count 3 web',
  async run(args) {
    const { values, rest } = readOptions(args, {
      ...connectionOptions,
      ttl: { type: 'string' },
      count: { type: 'string' },
    });
    const [name] = takeArguments(rest, 'session');
    if (values.ttl === undefined) {
      const expected = 'a duration such as 1h: the forks outlive this command';
      throw createInputError('options', [{ path: '--ttl', value: undefined, expected }]);
    }
    const ttlMs = parseDuration('ttl', values.ttl);
    const count = parseNumber('count', values.count ?? '1');
    const provider = openProvider(values);
    try {
      const session = await provider.connect(name);
      for (const { sessionId } of await session.fork({ count, ttlMs })) process.stdout.write(`${sessionId}\n`);
      return 0;
    } finally {
      // Not disposed of: that would destroy them.
      await provider.close();
    }
  },
};
