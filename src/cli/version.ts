import { readFileSync } from 'node:fs';
import type { Verb } from './verb.js';

export const versionVerb: Verb = {
  usage: 'cadre-containerd version',
  summary: 'print the version of this program',
  example: 'cadre-containerd version',
  run: async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    process.stdout.write(`${version}\n`);
    return 0;
  },
};
