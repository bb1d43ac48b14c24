import { openProvider } from './connection.js';
import { watchSignals } from './terminal.js';
import { connectionOptions, defineVerb } from './verb.js';

export const attachVerb = defineVerb({
  usage: 'cadre-containerd attach [-i] SESSION',
  summary: "connect to a session's own command, with -i its input too; ends with its exit code",
  example: 'cadre-containerd attach -i web',
  options: { ...connectionOptions, interactive: { type: 'boolean', short: 'i' } },
  takes: ['session'],
  async run(values, [name]) {
    const { stdin, stdout, stderr } = process;
    const isRaw = values.interactive === true && stdin.isTTY;
    await using provider = await openProvider(values);
    const session = await provider.connect(name);
    if (isRaw) stdin.setRawMode(true);
    try {
      const streams = { stdout, stderr, ...(values.interactive ? { stdin } : {}) };
      return (await session.attach({ ...streams, signal: watchSignals() })).exitCode;
    } finally {
      if (isRaw) stdin.setRawMode(false);
      stdin.destroy();
    }
  },
});
