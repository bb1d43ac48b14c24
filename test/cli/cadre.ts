import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { context } from '../support/context.js';
import { ASKED_EXECUTOR } from '../support/executor.js';

const { address, namespace } = context;

export const cadreEnv = { ...process.env, CONTAINERD_ADDRESS: address, CONTAINERD_NAMESPACE: namespace };

/** The command line as a user has it, from dist; `input` is what it reads. */
export function cadre(...args: string[]): Pick<SpawnSyncReturns<string>, 'status' | 'stdout' | 'stderr'> {
  return cadreWith('', ...args);
}

export function cadreWith(input: string, ...args: string[]) {
  const [verb, ...rest] = args;
  const given =
    verb === 'run' && ASKED_EXECUTOR === 'task' && !rest.includes('--help')
      ? [verb, '--executor', 'task', ...rest]
      : args;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['dist/cli/main.js', ...given], {
    env: cadreEnv,
    encoding: 'utf8',
    input,
  });
  return { status, stdout, stderr };
}
