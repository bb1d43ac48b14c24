import { openProvider } from './connection.js';
import { isJson, outputOptions, print } from './output.js';
import { connectionOptions, defineVerb } from './verb.js';

export const reapVerb = defineVerb({
  usage: 'cadre-containerd reap [--json]',
  summary: 'remove sessions that have expired or lost their process, and all that a crash left',
  example: 'cadre-containerd reap --json',
  options: { ...connectionOptions, ...outputOptions },
  takes: [],
  async run(values) {
    await using provider = await openProvider(values);
    const { failures, ...removed } = await provider.reap();
    const failed = failures.map(({ what, error }) => ({ what, error: (error as Error).message }));
    if (isJson(values)) print(JSON.stringify({ ...removed, failures: failed }));
    else {
      for (const [kind, items] of Object.entries(removed)) for (const item of items) print(`${kind} ${item}`);
      for (const { what, error } of failed) process.stderr.write(`cadre-containerd: ${what} resisted: ${error}\n`);
    }
    return failed.length === 0 ? 0 : 1;
  },
});
