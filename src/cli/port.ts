import { openProvider } from './connection.js';
import { listOptions, printList } from './output.js';
import { connectionOptions, defineVerb } from './verb.js';

export const portVerb = defineVerb({
  usage: 'cadre-containerd port [-q] [--json] SESSION',
  summary: 'list ports of the host that lead to a session',
  example: 'cadre-containerd port web',
  options: { ...connectionOptions, ...listOptions },
  takes: ['session'],
  async run(values, [name]) {
    await using provider = await openProvider(values);
    const ports = await (await provider.connect(name)).ports();
    printList(values, ports, {
      name: ({ hostIp, hostPort }) => `${hostIp}:${hostPort}`,
      header: ['HOST', 'SESSION'],
      describe: ({ hostIp, hostPort, port, protocol }) => [`${hostIp}:${hostPort}`, `${port}/${protocol}`],
    });
    return 0;
  },
});
