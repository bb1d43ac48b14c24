import { openProvider } from './connection.js';
import { outputOptions, printResult } from './output.js';
import { watchSignals } from './terminal.js';
import { connectionOptions, defineVerb } from './verb.js';

export const eventsVerb = defineVerb({
  usage: 'cadre-containerd events [--json]',
  summary: 'print what happens to sessions, from now on',
  example: 'cadre-containerd events --json',
  options: { ...connectionOptions, ...outputOptions },
  takes: [],
  async run(values) {
    await using provider = await openProvider(values);
    for await (const event of provider.events({ signal: watchSignals() })) {
      const { time, topic, sessionId = '' } = event;
      printResult(values, event, () => `${time.toISOString()} ${topic} ${sessionId}`.trimEnd());
    }
    return 0;
  },
});
