import { createInputError, type Fault } from '../core/error.js';
import { isFitCwd } from './cwd.js';
import { checkArguments, checkEnv, checkTotal, mergeEnv } from './environment.js';
import type { OciProcess, OciSpec, OciUser } from './types.js';
import { checkMapped } from './userns.js';

export interface ExecProcessInput {
  command: string;
  args: readonly string[];
  env: Readonly<Record<string, string>>;
  cwd?: string | undefined;
  /** Defaults to the session's. */
  user?: OciUser | undefined;
  tty?: boolean | { cols: number; rows: number } | undefined;
}

const TTY_SIZE = { cols: 80, rows: 24 };

/**
 * The process of an exec: the session's own privileges and limits, whatever else is asked. Throws `invalid-argument`
 * with every fault.
 */
export function buildExecProcess({ process, linux }: OciSpec, input: ExecProcessInput): OciProcess {
  const { command, args, env, cwd = process.cwd, user = process.user, tty = false } = input;
  const argv = [command, ...args];
  const faults = [
    ...checkArguments('command', argv),
    ...checkEnv(env),
    ...checkCwd(cwd),
    ...checkMapped(user, linux.uidMappings?.[0]?.size),
  ];
  const merged = mergeEnv(process.env, tty ? { TERM: 'xterm', ...env } : env);
  if (faults.length === 0) faults.push(...checkTotal(argv, merged, process.rlimits));
  if (faults.length > 0) throw createInputError('exec', faults);
  const { cols, rows } = typeof tty === 'object' ? tty : TTY_SIZE;
  return {
    ...process,
    user,
    args: argv,
    env: merged,
    cwd,
    ...(tty ? { terminal: true, consoleSize: { width: cols, height: rows } } : {}),
  };
}

function checkCwd(cwd: string): Fault[] {
  const expected = 'an absolute path without . .. or empty parts, not below /proc';
  return isFitCwd(cwd) ? [] : [{ path: 'cwd', value: cwd, expected }];
}
