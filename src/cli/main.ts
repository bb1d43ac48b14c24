#!/usr/bin/env node
import { createInputError } from '../core/error.js';
import { chooseExitCode, printFailure } from './failure.js';
import { describeVerb, listVerbs, loadVerb, verbs } from './verbs.js';

async function main([name = 'help', ...args]: string[]): Promise<number> {
  if (name === 'help' || name === '--help' || name === '-h') {
    process.stdout.write(await listVerbs());
    return 0;
  }
  const verb = await loadVerb(name);
  if (verb === undefined) {
    throw createInputError('command', [
      { path: 'verb', value: name, expected: `one of ${Object.keys(verbs).join(', ')}` },
    ]);
  }
  if (args[0] === '--help' || args[0] === '-h') {
    process.stdout.write(describeVerb(verb));
    return 0;
  }
  return verb.run(args);
}

function exitWithFailure(error: unknown): never {
  printFailure(error);
  process.exit(chooseExitCode(error));
}

let unwritten: NodeJS.ErrnoException | undefined;
// Whoever reads no more has what was wanted: `logs web | head -1`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') unwritten ??= error;
});
process.stderr.on('error', () => undefined);
process.on('uncaughtException', exitWithFailure);
try {
  const exitCode = await main(process.argv.slice(2));
  process.once('beforeExit', () => {
    if (unwritten !== undefined) exitWithFailure(unwritten);
  });
  process.exitCode = exitCode;
} catch (error) {
  printFailure(error);
  process.exitCode = chooseExitCode(error);
}
