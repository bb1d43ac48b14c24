import type { Network } from '../network/networks.js';
import { openProvider } from './connection.js';
import { doEach } from './each.js';
import { joinVerbs } from './family.js';
import { defineInspect } from './inspect.js';
import { listOptions, print, printList } from './output.js';
import { connectionOptions, defineVerb } from './verb.js';

const ls = defineVerb({
  usage: 'cadre-containerd networks ls [-q] [--json]',
  summary: "list networks, the host's own included",
  example: 'cadre-containerd networks ls',
  options: { ...connectionOptions, ...listOptions },
  takes: [],
  async run(values) {
    await using provider = await openProvider(values);
    const networks: Network[] = [];
    for await (const network of provider.networks.list()) networks.push(network);
    const header = ['NETWORK', 'OF', 'SUBNET', 'SESSIONS'];
    printList(values, networks, { name: ({ name }) => name, header, describe });
    return 0;
  },
});

function describe({ name, origin, subnet = '-', sessions }: Network): string[] {
  return [name, origin, subnet, sessions.join(', ') || '-'];
}

const create = defineVerb({
  usage: 'cadre-containerd networks create [--subnet RANGE] NAME',
  summary: 'make a network whose sessions reach one another',
  example: 'cadre-containerd networks create --subnet 10.9.0.0/24 team',
  options: { ...connectionOptions, subnet: { type: 'string' } },
  takes: ['name'],
  async run({ subnet, ...values }, [name]) {
    await using provider = await openProvider(values);
    await provider.networks.create(name, subnet === undefined ? {} : { subnet });
    print(name);
    return 0;
  },
});

const inspect = defineInspect(
  'network',
  {
    usage: 'cadre-containerd networks inspect [--json] NAME',
    summary: 'print what a network is, as JSON',
    example: 'cadre-containerd networks inspect team',
  },
  (provider, name) => provider.networks.inspect(name),
);

const rm = defineVerb({
  usage: 'cadre-containerd networks rm NAME...',
  summary: 'remove networks that no session is in',
  example: 'cadre-containerd networks rm team',
  options: connectionOptions,
  takes: ['network...'],
  async run(values, names) {
    await using provider = await openProvider(values);
    return await doEach(names, (name) => provider.networks.remove(name));
  },
});

const connect = defineVerb({
  usage: 'cadre-containerd networks connect NAME SESSION',
  summary: 'give a session one more interface; prints its addresses there',
  example: 'cadre-containerd networks connect team web',
  options: connectionOptions,
  takes: ['network', 'session'],
  async run(values, [name, session]) {
    await using provider = await openProvider(values);
    print((await provider.networks.connect(name, session)).join('\n'));
    return 0;
  },
});

const disconnect = defineVerb({
  usage: 'cadre-containerd networks disconnect NAME SESSION',
  summary: 'take that interface away from a session',
  example: 'cadre-containerd networks disconnect team web',
  options: connectionOptions,
  takes: ['network', 'session'],
  async run(values, [name, session]) {
    await using provider = await openProvider(values);
    await provider.networks.disconnect(name, session);
    return 0;
  },
});

export const networksVerb = joinVerbs(
  'networks',
  'what sessions are plugged into',
  { ls, create, inspect, rm, connect, disconnect },
  ls,
);
