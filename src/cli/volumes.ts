import type { Volume } from '../session/volumes.js';
import { openProvider } from './connection.js';
import { doEach } from './each.js';
import { joinVerbs } from './family.js';
import { defineInspect } from './inspect.js';
import { listOptions, print, printList } from './output.js';
import { formatAge } from './table.js';
import { pruneOptions, readPruneOptions } from './values.js';
import { connectionOptions, defineVerb } from './verb.js';

const ls = defineVerb({
  usage: 'cadre-containerd volumes ls [-q] [--json]',
  summary: 'list volumes',
  example: 'cadre-containerd volumes ls',
  options: { ...connectionOptions, ...listOptions },
  takes: [],
  async run(values) {
    await using provider = await openProvider(values);
    const volumes: Volume[] = [];
    for await (const volume of provider.volumes.list()) volumes.push(volume);
    printList(values, volumes, { name: ({ name }) => name, header: ['VOLUME', 'USED', 'SESSIONS'], describe });
    return 0;
  },
});

function describe({ name, lastUsedAt, sessions }: Volume): string[] {
  return [name, `${formatAge(Date.now() - lastUsedAt.getTime())} ago`, sessions.join(', ') || '-'];
}

const create = defineVerb({
  usage: 'cadre-containerd volumes create NAME...',
  summary: 'make volumes ahead of their first use',
  example: 'cadre-containerd volumes create cache',
  options: connectionOptions,
  takes: ['name...'],
  async run(values, names) {
    await using provider = await openProvider(values);
    return await doEach(names, (name) => provider.volumes.create(name));
  },
});

const inspect = defineInspect(
  'volume',
  {
    usage: 'cadre-containerd volumes inspect [--json] NAME',
    summary: 'print what a volume is and how large, as JSON',
    example: 'cadre-containerd volumes inspect cache',
  },
  (provider, name) => provider.volumes.inspect(name),
);

const rm = defineVerb({
  usage: 'cadre-containerd volumes rm NAME...',
  summary: 'remove volumes that no session uses, with their data',
  example: 'cadre-containerd volumes rm cache',
  options: connectionOptions,
  takes: ['volume...'],
  async run(values, names) {
    await using provider = await openProvider(values);
    return await doEach(names, (name) => provider.volumes.remove(name));
  },
});

const prune = defineVerb({
  usage: 'cadre-containerd volumes prune [--older-than DURATION] [--keep SIZE]',
  summary: 'remove unused volumes, the longest unused first; prints what went, as JSON',
  example: 'cadre-containerd volumes prune --older-than 7d --keep 10g',
  options: { ...connectionOptions, ...pruneOptions },
  takes: [],
  async run(values) {
    const options = readPruneOptions(values, 'keepBytes');
    await using provider = await openProvider(values);
    print(JSON.stringify(await provider.volumes.prune(options)));
    return 0;
  },
});

export const volumesVerb = joinVerbs('volumes', 'data that outlives sessions', { ls, create, inspect, rm, prune }, ls);
