import { createInputError } from '../core/error.js';
import { openProvider } from './connection.js';
import { outputOptions, printResult } from './output.js';
import { openLine } from './progress.js';
import { watchSignals } from './terminal.js';
import { connectionOptions, defineVerb } from './verb.js';

const registryOptions = { ...connectionOptions, ...outputOptions, platform: { type: 'string' } } as const;

export const pullVerb = defineVerb({
  usage: 'cadre-containerd pull [--platform OS/ARCHITECTURE] [--json] IMAGE',
  summary: 'bring an image from its registry into containerd',
  example: 'cadre-containerd pull busybox:1',
  options: registryOptions,
  takes: ['image'],
  async run(values, [image]) {
    const platform = parsePlatform(values.platform);
    await using provider = await openProvider(values);
    using line = openLine();
    const pulled = await provider.pull(image, { ...platform, onProgress: line.show, signal: watchSignals() });
    line.clear();
    const { name, target } = pulled;
    printResult(values, { name, target }, () => `${name} ${target.digest}`);
    return 0;
  },
});

export const pushVerb = defineVerb({
  usage: 'cadre-containerd push [--platform OS/ARCHITECTURE] [--to REFERENCE] [--json] IMAGE',
  summary: 'send an image to a registry',
  example: 'cadre-containerd push --to registry.example/team/app:1 app:1',
  options: { ...registryOptions, to: { type: 'string' } },
  takes: ['image'],
  async run(values, [image]) {
    const platform = parsePlatform(values.platform);
    const to = values.to === undefined ? {} : { to: values.to };
    await using provider = await openProvider(values);
    using line = openLine();
    const options = { ...platform, ...to, onProgress: line.show, signal: watchSignals() };
    const { name, target } = await provider.images.push(image, options);
    line.clear();
    printResult(values, { name, target }, () => `${name} ${target.digest}`);
    return 0;
  },
});

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
