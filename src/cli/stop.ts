import { doEach } from './each.js';
import { parseDuration } from './values.js';
import { connectionOptions, openProvider, readOptions, type Verb } from './verb.js';

export const stopVerb: Verb = {
  usage: 'cadre-containerd stop [-t DURATION] SESSION...',
  summary: 'end what runs in sessions: SIGTERM, a grace of 10s, SIGKILL; start runs them again',
  example: 'cadre-containerd stop -t 2s web',
  async run(args) {
    const { values, rest } = readOptions(args, { ...connectionOptions, time: { type: 'string', short: 't' } });
    const grace = values.time === undefined ? {} : { timeoutMs: parseDuration('time', values.time) };
    await using provider = openProvider(values);
    return await doEach(rest, 'session', async (name) => (await provider.connect(name)).stop(grace));
  },
};
