import type { ContainerdProvider } from '../provider/provider.js';
import type { Kind } from './arguments.js';
import { openProvider } from './connection.js';
import { isJson, outputOptions, print } from './output.js';
import { connectionOptions, defineVerb, type Verb } from './verb.js';

/** A verb that prints what one thing is: indented, or with --json on one line. */
export function defineInspect(
  kind: Extract<Kind, 'session' | 'image' | 'volume' | 'network'>,
  words: Pick<Verb, 'usage' | 'summary' | 'example'>,
  read: (provider: ContainerdProvider, name: string) => Promise<unknown>,
): Verb {
  return defineVerb({
    ...words,
    options: { ...connectionOptions, ...outputOptions },
    takes: [kind],
    async run(values, [name]) {
      const indent = isJson(values) ? undefined : 2;
      await using provider = await openProvider(values);
      print(JSON.stringify(await read(provider, name), undefined, indent));
      return 0;
    },
  });
}
