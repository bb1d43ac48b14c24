import { openProvider } from './connection.js';
import { watchSignals } from './terminal.js';
import { connectionOptions, defineVerb } from './verb.js';

export const enforceVerb = defineVerb({
  usage: 'cadre-containerd enforce',
  summary: 'enforce the allowlists of all sessions that nobody else does, until interrupted; they are closed without',
  example: 'cadre-containerd enforce',
  options: connectionOptions,
  takes: [],
  async run(values) {
    await using provider = await openProvider(values);
    await provider.enforce({ signal: watchSignals() });
    return 0;
  },
});
