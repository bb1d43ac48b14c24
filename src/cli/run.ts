import { createInputError } from '../core/error.js';
import type { CreateOptions } from '../provider/create-options.js';
import type { ExecutorChoice } from '../session/record.js';
import type { Session } from '../session/session.js';
import { openProvider } from './connection.js';
import { commandOptions, readCommandOptions } from './exec.js';
import { print } from './output.js';
import { policyOptions, readPolicyOptions } from './policy-options.js';
import { openLine } from './progress.js';
import { runCommand, watchSignals } from './terminal.js';
import { parseDuration, parseEnv } from './values.js';
import { connectionOptions, defineVerb } from './verb.js';

export const runVerb = defineVerb({
  usage:
    'cadre-containerd run [--rm] [-d] [-i] [-t] [-e NAME=VALUE] [-w DIRECTORY] [-u USER] [-v SOURCE:TARGET[:ro]] [-m SIZE] ' +
    '[--cpus N] [--pids-limit N] [--read-only] [--cap-add NAME] [--cap-drop NAME] [--network none|NAME] [--allow RULE] [-p [[ADDRESS:]PORT:]PORT[/udp]] [--dns ADDRESS] [--profile NAME] [--policy FILE] ' +
    '[--name NAME] [--runtime NAME] [--executor auto|task|supervisor] [--shim-group NAME] [--ttl DURATION] [--timeout DURATION] IMAGE [COMMAND [ARGUMENT...]]',
  summary: 'run a command in a session of its own, which is removed with it; with --ttl the session stays for so long',
  example: 'cadre-containerd run --rm -it -m 256m --cpus 0.5 busybox:1 sh',
  options: {
    ...connectionOptions,
    ...commandOptions,
    ...policyOptions,
    rm: { type: 'boolean' },
    detach: { type: 'boolean', short: 'd' },
    name: { type: 'string' },
    runtime: { type: 'string', hint: ['runc', 'kata'] },
    executor: { type: 'string', hint: ['auto', 'task', 'supervisor'] },
    'shim-group': { type: 'string' },
    ttl: { type: 'string' },
  },
  takes: ['image', '[command...]'],
  async run(values, [image, ...command]) {
    const { rm = false, detach = false, name, runtime, executor, 'shim-group': shimGroup, ttl } = values;
    const faults = [
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
    using line = openLine();
    const options = { ...readCommandOptions(values), signal };
    const env = parseEnv(values.env ?? []);
    const create: CreateOptions = {
      ...(await readPolicyOptions(values)),
      env,
      signal,
      onProgress: line.show,
      ...(name === undefined ? {} : { name }),
      ...(runtime === undefined ? {} : { runtime }),
      ...(executor === undefined ? {} : { executor: executor as ExecutorChoice }),
      ...(shimGroup === undefined ? {} : { shimGroup }),
      ...(ttl === undefined ? {} : { ttlMs: parseDuration('ttl', ttl) }),
      ...(detach && command.length > 0 ? { command, tty: options.tty, stdin: options.interactive } : {}),
    };
    const provider = await openProvider(values, { image });
    let isKept = false;
    try {
      const session = await provider.createSession(create);
      line.clear();
      const exitCode = detach || command.length === 0 ? tell(session) : await runCommand(session, command, options);
      isKept = ttl !== undefined && !rm;
      return exitCode;
    } finally {
      await (isKept ? provider.close() : provider[Symbol.asyncDispose]());
    }
  },
});

function tell(session: Session): number {
  print(session.sessionId);
  return 0;
}
