import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createInputError } from '../core/error.js';
import type { StoredImage } from '../image/image.js';
import { doEach } from './each.js';
import { joinVerbs } from './family.js';
import { importVerb } from './import.js';
import { formatTable } from './table.js';
import { watchSignals } from './terminal.js';
import { connectionOptions, openProvider, readOptions, takeArguments, takeNone, type Verb } from './verb.js';

const ls: Verb = {
  usage: 'cadre-containerd images ls [-q] [--json]',
  summary: 'list images',
  example: 'cadre-containerd images ls',
  async run(args) {
    const { values, rest } = readOptions(args, {
      ...connectionOptions,
      quiet: { type: 'boolean', short: 'q' },
      json: { type: 'boolean' },
    });
    takeNone(rest);
    await using provider = openProvider(values);
    const images: StoredImage[] = [];
    for await (const image of provider.images.list()) images.push(image);
    if (values.quiet) for (const { name } of images) process.stdout.write(`${name}\n`);
    else if (values.json) for (const image of images) process.stdout.write(`${JSON.stringify(image)}\n`);
    else {
      const rows = images.map(({ name, target }) => [target.digest.slice(0, 19), name]);
      process.stdout.write(formatTable(['DIGEST', 'IMAGE'], rows));
    }
    return 0;
  },
};

const inspect: Verb = {
  usage: 'cadre-containerd images inspect IMAGE',
  summary: 'print what an image is, as JSON',
  example: 'cadre-containerd images inspect busybox:1',
  async run(args) {
    const { values, rest } = readOptions(args, connectionOptions);
    const [image] = takeArguments(rest, 'image');
    await using provider = openProvider(values);
    process.stdout.write(`${JSON.stringify(await provider.images.inspect(image), undefined, 2)}\n`);
    return 0;
  },
};

const rm: Verb = {
  usage: 'cadre-containerd images rm [-f] IMAGE...',
  summary: 'remove images that no session was made of, or with -f any',
  example: 'cadre-containerd images rm busybox:1',
  async run(args) {
    const { values, rest } = readOptions(args, { ...connectionOptions, force: { type: 'boolean', short: 'f' } });
    await using provider = openProvider(values);
    const options = { sync: true, force: values.force ?? false };
    return await doEach(rest, 'image', (image) => provider.images.remove(image, options));
  },
};

const tag: Verb = {
  usage: 'cadre-containerd images tag IMAGE NAME',
  summary: 'give an image another name',
  example: 'cadre-containerd images tag busybox:1 local/box:1',
  async run(args) {
    const { values, rest } = readOptions(args, connectionOptions);
    const [image, name] = takeArguments(rest, 'image', 'name');
    await using provider = openProvider(values);
    await provider.images.tag(image, name);
    return 0;
  },
};

const exportVerb: Verb = {
  usage: 'cadre-containerd images export [-o FILE] IMAGE...',
  summary: 'write images as a tar that docker load and import read, to a file or to standard output',
  example: 'cadre-containerd images export -o busybox.tar busybox:1',
  async run(args) {
    const { values, rest } = readOptions(args, { ...connectionOptions, output: { type: 'string', short: 'o' } });
    const isTerminal = values.output === undefined && process.stdout.isTTY;
    const faults = [
      ...(rest.length === 0 ? [{ path: 'image', value: undefined, expected: 'the name of an image' }] : []),
      ...(isTerminal ? [{ path: '--output', value: undefined, expected: 'a file: a terminal cannot show a tar' }] : []),
    ];
    if (faults.length > 0) throw createInputError('arguments', faults);
    await using provider = openProvider(values);
    const file = values.output === undefined ? process.stdout : createWriteStream(values.output);
    await pipeline(provider.images.export(rest), file, { signal: watchSignals(), end: values.output !== undefined });
    return 0;
  },
};

export const imagesVerb = joinVerbs('images', 'what containerd has', {
  ls,
  inspect,
  rm,
  tag,
  import: importVerb,
  export: exportVerb,
});
