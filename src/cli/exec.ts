import { openProvider } from './connection.js';
import { runCommand, watchSignals } from './terminal.js';
import { parseDuration, parseEnv } from './values.js';
import { connectionOptions, defineVerb, type Options } from './verb.js';

export const commandOptions = {
  interactive: { type: 'boolean', short: 'i' },
  tty: { type: 'boolean', short: 't' },
  env: { type: 'string', short: 'e', multiple: true },
  workdir: { type: 'string', short: 'w' },
  user: { type: 'string', short: 'u' },
  timeout: { type: 'string' },
} as const satisfies Options;

interface CommandValues {
  interactive?: boolean;
  tty?: boolean;
  workdir?: string;
  user?: string;
  timeout?: string;
}

/** What an option of the command line is to a command of the library. */
export function readCommandOptions({ interactive = false, tty = false, workdir, user, timeout }: CommandValues) {
  return {
    interactive,
    tty,
    ...(workdir === undefined ? {} : { cwd: workdir }),
    ...(user === undefined ? {} : { user }),
    ...(timeout === undefined ? {} : { timeoutMs: parseDuration('timeout', timeout) }),
  };
}

export const execVerb = defineVerb({
  usage:
    'cadre-containerd exec [-i] [-t] [-e NAME=VALUE] [-w DIRECTORY] [-u USER] [--timeout DURATION] SESSION COMMAND [ARGUMENT...]',
  summary: 'run a command in a session; ends with its exit code, 124 after a timeout',
  example: 'cadre-containerd exec -it web sh',
  options: { ...connectionOptions, ...commandOptions },
  takes: ['session', 'command...'],
  async run(values, [name, ...argv]) {
    const options = { ...readCommandOptions(values), env: parseEnv(values.env ?? []), signal: watchSignals() };
    await using provider = await openProvider(values);
    return await runCommand(await provider.connect(name), argv, options);
  },
});
