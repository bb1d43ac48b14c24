import { watchSignals } from './terminal.js';
import { connectionOptions, openProvider, readOptions, takeArguments, type Verb } from './verb.js';

export const attachVerb: Verb = {
  usage: 'cadre-containerd attach [-i] SESSION',
  summary: "connect to a session's own command, with -i its input too; ends with its exit code",
  example: 'cadre-containerd attach -i web',
  async run(args) {
    const { values, rest } = readOptions(args, { ...connectionOptions, interactive: { type: 'boolean', short: 'i' } });
    const [name] = takeArguments(rest, 'session');
    const { stdin, stdout, stderr } = process;
    const isRaw = values.interactive === true && stdin.isTTY;
    await using provider = openProvider(values);
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
};
