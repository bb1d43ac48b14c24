import type { Session } from '../session/session.js';
import { connectionOptions, openProvider, readOptions, takeFirst, type Verb } from './verb.js';

/** A verb that does one thing to each of the sessions named, prints their names, and goes on after a failure. */
export function forEach(
  words: Pick<Verb, 'usage' | 'summary' | 'example'>,
  act: (session: Session) => Promise<unknown>,
): Verb {
  return {
    ...words,
    async run(args) {
      const { values, rest } = readOptions(args, connectionOptions);
      await using provider = openProvider(values);
      return await doEach(rest, 'session', async (name) => act(await provider.connect(name)));
    },
  };
}

/** Exit code 1 when any of them failed. */
export async function doEach(names: string[], kind: string, act: (name: string) => Promise<unknown>): Promise<number> {
  takeFirst(names, kind);
  let exitCode = 0;
  for (const name of names) {
    try {
      await act(name);
      process.stdout.write(`${name}\n`);
    } catch (error) {
      process.stderr.write(`cadre-containerd: ${(error as Error).message}\n`);
      exitCode = 1;
    }
  }
  return exitCode;
}
