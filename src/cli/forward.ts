import { once } from 'node:events';
import { openProvider } from './connection.js';
import { print } from './output.js';
import { watchSignals } from './terminal.js';
import { parseNumber } from './values.js';
import { connectionOptions, defineVerb } from './verb.js';

export const forwardVerb = defineVerb({
  usage: 'cadre-containerd forward [--local PORT] SESSION PORT',
  summary: 'reach a port inside a session from 127.0.0.1, until interrupted; prints where',
  example: 'cadre-containerd forward --local 8080 web 80',
  options: { ...connectionOptions, local: { type: 'string' } },
  takes: ['session', 'port'],
  async run({ local, ...values }, [name, port]) {
    const targetPort = parseNumber('port', port);
    const localPort = local === undefined ? {} : { localPort: parseNumber('local', local) };
    await using provider = await openProvider(values);
    const session = await provider.connect(name);
    await using forward = await session.forward({ targetPort, ...localPort });
    const interrupted = watchSignals();
    print(`127.0.0.1:${forward.localPort}`);
    if (!interrupted.aborted) await once(interrupted, 'abort');
    return 0;
  },
});
