import { createInputError } from '../core/error.js';
import { connectionOptions, openProvider, readOptions, type Verb } from './verb.js';

export const importVerb: Verb = {
  usage: 'cadre-containerd import [--address SOCKET] [--namespace NAME] [--as REFERENCE] ARCHIVE',
  summary: 'bring the images of a docker-archive or an OCI-layout tar into containerd',
  example: 'cadre-containerd import busybox.tar',
  async run(args) {
    const { values, rest } = readOptions(args, { ...connectionOptions, as: { type: 'string' } });
    const [archive] = rest;
    if (archive === undefined || rest.length > 1) {
      throw createInputError('arguments', [{ path: 'archive', value: rest, expected: 'the path of one tar file' }]);
    }
    const { as } = values;
    await using provider = openProvider(values);
    const images = await provider.importImage(archive, as === undefined ? {} : { reference: as });
    for (const { name, target } of images) process.stdout.write(`${name} ${target.digest}\n`);
    return 0;
  },
};
