import { DriverError } from '../core/error.js';
import { doEach } from './each.js';
import { connectionOptions, openProvider, readOptions, type Verb } from './verb.js';

export const rmVerb: Verb = {
  usage: 'cadre-containerd rm [-f] SESSION...',
  summary: 'remove every trace of stopped sessions; with -f kill those that run first',
  example: 'cadre-containerd rm -f web',
  async run(args) {
    const { values, rest } = readOptions(args, { ...connectionOptions, force: { type: 'boolean', short: 'f' } });
    await using provider = openProvider(values);
    return await doEach(rest, 'session', async (name) => {
      const session = await provider.connect(name);
      const { state } = await session.info();
      if (state !== 'stopped' && !values.force) {
        throw new DriverError('failed-precondition', `session ${name} is ${state}: stop it first, or use -f`);
      }
      await session.destroy();
    });
  },
};
