import { readFileSync } from 'node:fs';
import { outputOptions, printResult } from './output.js';
import { defineVerb } from './verb.js';

export const versionVerb = defineVerb({
  usage: 'cadre-containerd version [--json]',
  summary: 'print the version of this program',
  example: 'cadre-containerd version',
  options: outputOptions,
  takes: [],
  async run(values) {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    printResult(values, { version }, () => version);
    return 0;
  },
});
