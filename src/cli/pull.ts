import { createInputError } from '../core/error.js';
import type { PullProgress } from '../image/pull-options.js';
import type { PushProgress } from '../image/push.js';
import { watchSignals } from './terminal.js';
import { connectionOptions, openProvider, readOptions, takeArguments, type Verb } from './verb.js';

const registryOptions = { ...connectionOptions, platform: { type: 'string' } } as const;
const MIB = 1024 ** 2;

export const pullVerb: Verb = {
  usage: 'cadre-containerd pull [--platform OS/ARCHITECTURE] IMAGE',
  summary: 'bring an image from its registry into containerd',
  example: 'cadre-containerd pull busybox:1',
  async run(args) {
    const { values, rest } = readOptions(args, registryOptions);
    const [image] = takeArguments(rest, 'image');
    await using provider = openProvider(values);
    using line = openLine();
    const options = { ...parsePlatform(values.platform), onProgress: line.show, signal: watchSignals() };
    const { name, target } = await provider.pull(image, options);
    line[Symbol.dispose]();
    process.stdout.write(`${name} ${target.digest}\n`);
    return 0;
  },
};

export const pushVerb: Verb = {
  usage: 'cadre-containerd push [--platform OS/ARCHITECTURE] [--to REFERENCE] IMAGE',
  summary: 'send an image to a registry',
  example: 'cadre-containerd push --to registry.example/team/app:1 app:1',
  async run(args) {
    const { values, rest } = readOptions(args, { ...registryOptions, to: { type: 'string' } });
    const [image] = takeArguments(rest, 'image');
    await using provider = openProvider(values);
    using line = openLine();
    const to = values.to === undefined ? {} : { to: values.to };
    const options = { ...parsePlatform(values.platform), ...to, onProgress: line.show, signal: watchSignals() };
    const { name, target } = await provider.images.push(image, options);
    line[Symbol.dispose]();
    process.stdout.write(`${name} ${target.digest}\n`);
    return 0;
  },
};

function parsePlatform(text: string | undefined) {
  if (text === undefined) return {};
  const [os = '', architecture = '', variant, ...more] = text.split('/');
  if (os !== '' && architecture !== '' && more.length === 0) {
    return { platform: { os, architecture, ...(variant === undefined ? {} : { variant }) } };
  }
  throw createInputError('options', [
    { path: '--platform', value: text, expected: 'such as linux/arm64 or linux/arm/v7' },
  ]);
}

/** One line that is drawn over, on a terminal only. */
function openLine() {
  const { stderr } = process;
  return {
    show({ stage, completed, total }: PullProgress | PushProgress): void {
      if (!stderr.isTTY) return;
      const isBytes = stage === 'download' || stage === 'upload';
      const [done, all] = isBytes
        ? [completed, total].map((bytes) => `${(bytes / MIB).toFixed(1)}`)
        : [completed, total];
      stderr.write(`\r\x1b[K${stage} ${done}/${all}${isBytes ? ' MiB' : ''}`);
    },
    [Symbol.dispose](): void {
      if (stderr.isTTY) stderr.write('\r\x1b[K');
    },
  };
}
