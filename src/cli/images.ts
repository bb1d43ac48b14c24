import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createInputError } from '../core/error.js';
import type { StoredImage } from '../image/image.js';
import { openProvider } from './connection.js';
import { doEach } from './each.js';
import { joinVerbs } from './family.js';
import { importVerb } from './import.js';
import { defineInspect } from './inspect.js';
import { listOptions, print, printList } from './output.js';
import { watchSignals } from './terminal.js';
import { pruneOptions, readPruneOptions } from './values.js';
import { connectionOptions, defineVerb } from './verb.js';

const ls = defineVerb({
  usage: 'cadre-containerd images ls [-q] [--json]',
  summary: 'list images',
  example: 'cadre-containerd images ls',
  options: { ...connectionOptions, ...listOptions },
  takes: [],
  async run(values) {
    await using provider = await openProvider(values);
    const images: StoredImage[] = [];
    for await (const image of provider.images.list()) images.push(image);
    const describe = ({ name, target }: StoredImage) => [target.digest.slice(0, 19), name];
    printList(values, images, { name: ({ name }) => name, header: ['DIGEST', 'IMAGE'], describe });
    return 0;
  },
});

const inspect = defineInspect(
  'image',
  {
    usage: 'cadre-containerd images inspect [--json] IMAGE',
    summary: 'print what an image is, as JSON',
    example: 'cadre-containerd images inspect busybox:1',
  },
  (provider, name) => provider.images.inspect(name),
);

const rm = defineVerb({
  usage: 'cadre-containerd images rm [-f] IMAGE...',
  summary: 'remove images that no session was made of, or with -f any',
  example: 'cadre-containerd images rm busybox:1',
  options: { ...connectionOptions, force: { type: 'boolean', short: 'f' } },
  takes: ['image...'],
  async run(values, names) {
    await using provider = await openProvider(values);
    const options = { sync: true, force: values.force ?? false };
    return await doEach(names, (image) => provider.images.remove(image, options));
  },
});

const tag = defineVerb({
  usage: 'cadre-containerd images tag IMAGE NAME',
  summary: 'give an image another name',
  example: 'cadre-containerd images tag busybox:1 local/box:1',
  options: connectionOptions,
  takes: ['image', 'name'],
  async run(values, [image, name]) {
    await using provider = await openProvider(values);
    await provider.images.tag(image, name);
    return 0;
  },
});

const exportVerb = defineVerb({
  usage: 'cadre-containerd images export [-o FILE] IMAGE...',
  summary: 'write images as a tar that docker load and import read, to a file or to standard output',
  example: 'cadre-containerd images export -o busybox.tar busybox:1',
  options: { ...connectionOptions, output: { type: 'string', short: 'o', hint: 'file' } },
  takes: ['image...'],
  async run({ output, ...values }, images) {
    if (output === undefined && process.stdout.isTTY) {
      const expected = 'a file: a terminal cannot show a tar';
      throw createInputError('arguments', [{ path: '--output', value: undefined, expected }]);
    }
    await using provider = await openProvider(values);
    const file = output === undefined ? process.stdout : createWriteStream(output);
    await pipeline(provider.images.export(images), file, { signal: watchSignals(), end: output !== undefined });
    return 0;
  },
});

const prune = defineVerb({
  usage: 'cadre-containerd images prune [--older-than DURATION] [--keep SIZE]',
  summary: 'remove images that no session was made of, the longest unused first; prints what went, as JSON',
  example: 'cadre-containerd images prune --older-than 7d --keep 10g',
  options: { ...connectionOptions, ...pruneOptions },
  takes: [],
  async run(values) {
    const options = readPruneOptions(values, 'maxBytes');
    await using provider = await openProvider(values);
    print(JSON.stringify(await provider.images.prune(options)));
    return 0;
  },
});

export const imagesVerb = joinVerbs(
  'images',
  'what containerd has',
  { ls, inspect, rm, tag, import: importVerb, export: exportVerb, prune },
  ls,
);
