import { watchSignals } from './terminal.js';
import { connectionOptions, openProvider, readOptions, takeNone, type Verb } from './verb.js';

export const eventsVerb: Verb = {
  usage: 'cadre-containerd events [--json]',
  summary: 'print what happens to sessions, from now on',
  example: 'cadre-containerd events --json',
  async run(args) {
    const { values, rest } = readOptions(args, { ...connectionOptions, json: { type: 'boolean' } });
    takeNone(rest);
    await using provider = openProvider(values);
    for await (const event of provider.events({ signal: watchSignals() })) {
      const line = `${event.time.toISOString()} ${event.topic} ${event.sessionId ?? ''}`.trimEnd();
      process.stdout.write(`${values.json ? JSON.stringify(event) : line}\n`);
    }
    return 0;
  },
};
