import { createInputError } from '../core/error.js';
import type { CreateOptions } from '../provider/create-options.js';
import type { Session } from '../session/session.js';
import { commandOptions, readCommandOptions } from './exec.js';
import { policyOptions, readPolicyOptions } from './policy-options.js';
import { runCommand, watchSignals } from './terminal.js';
import { parseDuration, parseEnv } from './values.js';
import { connectionOptions, openProvider, readOptions, type Verb } from './verb.js';

export const runVerb: Verb = {
  usage:
    'cadre-containerd run [--rm] [-d] [-i] [-t] [-e NAME=VALUE] [-w DIRECTORY] [-u USER] [-v SOURCE:TARGET[:ro]] [-m SIZE] ' +
    '[--cpus N] [--pids-limit N] [--read-only] [--cap-add NAME] [--cap-drop NAME] [--profile NAME] [--policy FILE] ' +
    '[--name NAME] [--runtime NAME] [--ttl DURATION] [--timeout DURATION] IMAGE [COMMAND [ARGUMENT...]]',
  summary: 'run a command in a session of its own, which is removed with it; with --ttl the session stays for so long',
  example: 'cadre-containerd run --rm -it -m 256m --cpus 0.5 busybox:1 sh',
  async run(args) {
    const { values, rest } = readOptions(args, {
      ...connectionOptions,
      ...commandOptions,
      ...policyOptions,
      rm: { type: 'boolean' },
      detach: { type: 'boolean', short: 'd' },
      name: { type: 'string' },
      runtime: { type: 'string' },
      ttl: { type: 'string' },
    });
    const [image, ...command] = rest;
    const { rm = false, detach = false, name, runtime, ttl } = values;
    const faults = [
      ...(image === undefined ? [{ path: 'image', value: image, expected: 'an image and a command' }] : []),
      ...(command.length === 0 && !(detach || ttl) ? [{ path: 'command', value: '', expected: 'a command' }] : []),
      ...(detach && (ttl === undefined || rm)
        ? [
            {
              path: '--detach',
              value: true,
              expected: '--ttl beside it, and no --rm: nothing else would remove the session',
            },
          ]
        : []),
    ];
    if (faults.length > 0) throw createInputError('arguments', faults);
    const signal = watchSignals();
    const options = { ...readCommandOptions(values), signal };
    const env = parseEnv(values.env ?? []);
    const create: CreateOptions = {
      ...(await readPolicyOptions(values)),
      env,
      signal,
      ...(name === undefined ? {} : { name }),
      ...(runtime === undefined ? {} : { runtime }),
      ...(ttl === undefined ? {} : { ttlMs: parseDuration('ttl', ttl) }),
      ...(detach && command.length > 0 ? { command, tty: options.tty, stdin: options.interactive } : {}),
    };
    const provider = openProvider(values, { image: image as string });
    let isKept = false;
    try {
      const session = await provider.createSession(create);
      const exitCode = detach || command.length === 0 ? tell(session) : await runCommand(session, command, options);
      isKept = ttl !== undefined && !rm;
      return exitCode;
    } finally {
      await (isKept ? provider.close() : provider[Symbol.asyncDispose]());
    }
  },
};

function tell(session: Session): number {
  process.stdout.write(`${session.sessionId}\n`);
  return 0;
}
