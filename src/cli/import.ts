import { openProvider } from './connection.js';
import { outputOptions, printResult } from './output.js';
import { connectionOptions, defineVerb } from './verb.js';

export const importVerb = defineVerb({
  usage: 'cadre-containerd import [--as REFERENCE] [--json] ARCHIVE',
  summary: 'bring the images of a docker-archive or an OCI-layout tar into containerd',
  example: 'cadre-containerd import busybox.tar',
  options: { ...connectionOptions, ...outputOptions, as: { type: 'string' } },
  takes: ['file'],
  async run(values, [archive]) {
    const { as } = values;
    await using provider = await openProvider(values);
    const images = await provider.importImage(archive, as === undefined ? {} : { reference: as });
    for (const { name, target } of images) printResult(values, { name, target }, () => `${name} ${target.digest}`);
    return 0;
  },
});
