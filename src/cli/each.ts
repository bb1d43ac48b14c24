import type { Session } from '../session/session.js';
import { openProvider } from './connection.js';
import { chooseExitCode, printFailure } from './failure.js';
import { print } from './output.js';
import { connectionOptions, defineVerb, type Verb } from './verb.js';

/** A verb that does one thing to each of the sessions named, prints their names, and goes on after a failure. */
export function forEach(
  words: Pick<Verb, 'usage' | 'summary' | 'example'>,
  act: (session: Session) => Promise<unknown>,
): Verb {
  return defineVerb({
    ...words,
    options: connectionOptions,
    takes: ['session...'],
    async run(values, names) {
      await using provider = await openProvider(values);
      return await doEach(names, async (name) => act(await provider.connect(name)));
    },
  });
}

/** Ends with 0 when none of them failed. */
export async function doEach(names: string[], act: (name: string) => Promise<unknown>): Promise<number> {
  let exitCode = 0;
  for (const name of names) {
    try {
      await act(name);
      print(name);
    } catch (error) {
      printFailure(error);
      exitCode = Math.max(exitCode, chooseExitCode(error));
    }
  }
  return exitCode;
}
