import { createInputError } from '../core/error.js';
import { ContainerdProvider } from '../provider/provider.js';
import { connectionOptions, readOptions, type Verb } from './verb.js';

export const runVerb: Verb = {
  usage:
    'cadre-containerd run [--address SOCKET] [--namespace NAME] [--memory-mb N] [--cpus N] [--timeout-ms N] IMAGE COMMAND [ARGUMENT...]',
  summary: 'run one command in a session of its own, without a network, and remove the session',
  example: 'cadre-containerd run --memory-mb 256 busybox:1 sh -c "id; exit 3"',
  async run(args) {
    const { values, rest } = readOptions(args, {
      ...connectionOptions,
      'memory-mb': { type: 'string' },
      cpus: { type: 'string' },
      'timeout-ms': { type: 'string' },
    });
    const [image, command, ...commandArgs] = rest;
    if (image === undefined || command === undefined) {
      throw createInputError('arguments', [{ path: 'arguments', value: rest, expected: 'an image and a command' }]);
    }
    const { 'memory-mb': memoryMb, cpus, 'timeout-ms': timeoutMs, ...connection } = values;
    const resources = {
      ...(memoryMb === undefined ? {} : { memoryMb: Number(memoryMb) }),
      ...(cpus === undefined ? {} : { cpus: Number(cpus) }),
      ...(timeoutMs === undefined ? {} : { timeoutMs: Number(timeoutMs) }),
    };
    const abort = new AbortController();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => abort.abort(signal));
    await using provider = new ContainerdProvider({ image, ...connection });
    await using session = await provider.createSession({ networkMode: 'none', resources, signal: abort.signal });
    const execution = await session.spawn(command, commandArgs, { signal: abort.signal, maxBuffer: 0 });
    // As bytes: what a program prints need not be text.
    execution.stdout.pipe(process.stdout, { end: false });
    execution.stderr.pipe(process.stderr, { end: false });
    const { exitCode } = await execution.result();
    return exitCode;
  },
};
