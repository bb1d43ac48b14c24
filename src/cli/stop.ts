import { openProvider } from './connection.js';
import { doEach } from './each.js';
import { parseDuration } from './values.js';
import { connectionOptions, defineVerb } from './verb.js';

export const stopVerb = defineVerb({
  usage: 'cadre-containerd stop [-t DURATION] SESSION...',
  summary: 'end what runs in sessions: SIGTERM, a grace of 10s, SIGKILL; start runs them again',
  example: 'cadre-containerd stop -t 2s web',
  options: { ...connectionOptions, time: { type: 'string', short: 't' } },
  takes: ['session...'],
  async run({ time, ...values }, names) {
    // A number alone is seconds, as to docker.
    const duration = time !== undefined && /^\d+$/.test(time) ? `${time}s` : time;
    const grace = duration === undefined ? {} : { timeoutMs: parseDuration('time', duration) };
    await using provider = await openProvider(values);
    return await doEach(names, async (name) => (await provider.connect(name)).stop(grace));
  },
});
