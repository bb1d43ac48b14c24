import type { Volume } from '../session/volumes.js';
import { doEach } from './each.js';
import { joinVerbs } from './family.js';
import { formatAge, formatTable } from './table.js';
import { parseDuration, parseSize } from './values.js';
import { connectionOptions, openProvider, readOptions, takeArguments, takeNone, type Verb } from './verb.js';

const ls: Verb = {
  usage: 'cadre-containerd volumes ls [-q] [--json]',
  summary: 'list volumes',
  example: 'cadre-containerd volumes ls',
  async run(args) {
    const { values, rest } = readOptions(args, {
      ...connectionOptions,
      quiet: { type: 'boolean', short: 'q' },
      json: { type: 'boolean' },
    });
    takeNone(rest);
    await using provider = openProvider(values);
    const volumes: Volume[] = [];
    for await (const volume of provider.volumes.list()) volumes.push(volume);
    if (values.quiet) for (const { name } of volumes) process.stdout.write(`${name}\n`);
    else if (values.json) for (const volume of volumes) process.stdout.write(`${JSON.stringify(volume)}\n`);
    else process.stdout.write(formatTable(['VOLUME', 'USED', 'SESSIONS'], volumes.map(describe)));
    return 0;
  },
};

function describe({ name, lastUsedAt, sessions }: Volume): string[] {
  return [name, `${formatAge(Date.now() - lastUsedAt.getTime())} ago`, sessions.join(', ') || '-'];
}

const create: Verb = {
  usage: 'cadre-containerd volumes create NAME...',
  summary: 'make volumes ahead of their first use',
  example: 'cadre-containerd volumes create cache',
  async run(args) {
    const { values, rest } = readOptions(args, connectionOptions);
    await using provider = openProvider(values);
    return await doEach(rest, 'volume', (name) => provider.volumes.create(name));
  },
};

const inspect: Verb = {
  usage: 'cadre-containerd volumes inspect NAME',
  summary: 'print what a volume is and how large, as JSON',
  example: 'cadre-containerd volumes inspect cache',
  async run(args) {
    const { values, rest } = readOptions(args, connectionOptions);
    const [name] = takeArguments(rest, 'volume');
    await using provider = openProvider(values);
    process.stdout.write(`${JSON.stringify(await provider.volumes.inspect(name), undefined, 2)}\n`);
    return 0;
  },
};

const rm: Verb = {
  usage: 'cadre-containerd volumes rm NAME...',
  summary: 'remove volumes that no session uses, with their data',
  example: 'cadre-containerd volumes rm cache',
  async run(args) {
    const { values, rest } = readOptions(args, connectionOptions);
    await using provider = openProvider(values);
    return await doEach(rest, 'volume', (name) => provider.volumes.remove(name));
  },
};

const prune: Verb = {
  usage: 'cadre-containerd volumes prune [--older-than DURATION] [--keep SIZE]',
  summary: 'remove unused volumes, the longest unused first',
  example: 'cadre-containerd volumes prune --older-than 7d --keep 10g',
  async run(args) {
    const { values, rest } = readOptions(args, {
      ...connectionOptions,
      'older-than': { type: 'string' },
      keep: { type: 'string' },
    });
    takeNone(rest);
    const { 'older-than': age, keep } = values;
    await using provider = openProvider(values);
    const report = await provider.volumes.prune({
      ...(age === undefined ? {} : { olderThanMs: parseDuration('older-than', age) }),
      ...(keep === undefined ? {} : { keepBytes: parseSize('keep', keep) }),
    });
    process.stdout.write(`${JSON.stringify(report)}\n`);
    return 0;
  },
};

export const volumesVerb = joinVerbs('volumes', 'data that outlives sessions', { ls, create, inspect, rm, prune });
