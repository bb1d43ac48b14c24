import { createInputError } from '../core/error.js';
import { openProvider } from './connection.js';
import { outputOptions, printResult } from './output.js';
import { parseDuration, parseNumber } from './values.js';
import { connectionOptions, defineVerb } from './verb.js';

export const forkVerb = defineVerb({
  usage: 'cadre-containerd fork --ttl DURATION [--count N] [--json] SESSION',
  summary: 'make sessions that begin with the files of another and go their own way',
  example: 'cadre-containerd fork --ttl 1h --count 3 web',
  options: { ...connectionOptions, ...outputOptions, ttl: { type: 'string' }, count: { type: 'string' } },
  takes: ['session'],
  async run(values, [name]) {
    if (values.ttl === undefined) {
      const expected = 'a duration such as 1h: the forks outlive this command';
      throw createInputError('options', [{ path: '--ttl', value: undefined, expected }]);
    }
    const ttlMs = parseDuration('ttl', values.ttl);
    const count = parseNumber('count', values.count ?? '1');
    const provider = await openProvider(values);
    try {
      const session = await provider.connect(name);
      for (const { sessionId } of await session.fork({ count, ttlMs })) {
        printResult(values, { sessionId }, () => sessionId);
      }
      return 0;
    } finally {
      // Not disposed of: that would destroy them.
      await provider.close();
    }
  },
});
