import { createInputError } from '../core/error.js';
import { connectionOptions, openProvider, readOptions, type Verb } from './verb.js';

export const reapVerb: Verb = {
  usage: 'cadre-containerd reap [--address SOCKET] [--namespace NAME] [--json]',
  summary: 'remove sessions that have expired or lost their process, and all that a crash left',
  example: 'cadre-containerd reap --json',
  async run(args) {
    const { values, rest } = readOptions(args, { ...connectionOptions, json: { type: 'boolean' } });
    if (rest.length > 0) {
      throw createInputError('arguments', [{ path: 'arguments', value: rest, expected: 'none' }]);
    }
    const { json = false } = values;
    await using provider = openProvider(values);
    const { failures, ...removed } = await provider.reap();
    const failed = failures.map(({ what, error }) => ({ what, error: (error as Error).message }));
    if (json) process.stdout.write(`${JSON.stringify({ ...removed, failures: failed })}\n`);
    else {
      for (const [kind, items] of Object.entries(removed)) {
        for (const item of items) process.stdout.write(`${kind} ${item}\n`);
      }
      for (const { what, error } of failed) process.stderr.write(`cadre-containerd: ${what} resisted: ${error}\n`);
    }
    return failed.length === 0 ? 0 : 1;
  },
};
