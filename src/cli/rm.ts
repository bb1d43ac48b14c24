import { DriverError } from '../core/error.js';
import { openProvider } from './connection.js';
import { doEach } from './each.js';
import { connectionOptions, defineVerb } from './verb.js';

export const rmVerb = defineVerb({
  usage: 'cadre-containerd rm [-f] SESSION...',
  summary: 'remove every trace of stopped sessions; with -f kill those that run first',
  example: 'cadre-containerd rm -f web',
  options: { ...connectionOptions, force: { type: 'boolean', short: 'f' } },
  takes: ['session...'],
  async run(values, names) {
    await using provider = await openProvider(values);
    return await doEach(names, async (name) => {
      const session = await provider.connect(name);
      const { state } = await session.info();
      if (state !== 'stopped' && !values.force) {
        throw new DriverError('failed-precondition', `session ${name} is ${state}: stop it first, or use -f`);
      }
      await session.destroy();
    });
  },
});
