import { createInputError, type Fault } from '../core/error.js';
import { checkArguments, checkEnv, mergeEnv } from './environment.js';
import type { OciProcess, OciSpec, OciUser } from './types.js';

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
export function buildExecProcess({ process }: OciSpec, input: ExecProcessInput): OciProcess {
  const { command, args, env, cwd = process.cwd, user = process.user, tty = false } = input;
  const faults = [...checkArguments('command', [command, ...args]), ...checkEnv(env), ...checkCwd(cwd)];
  if (faults.length > 0) throw createInputError('exec', faults);
  const { cols, rows } = typeof tty === 'object' ? tty : TTY_SIZE;
  const added = tty ? { TERM: 'xterm', ...env } : env;
  return {
    ...process,
    user,
    args: [command, ...args],
    env: mergeEnv(process.env, added),
    cwd,
    ...(tty ? { terminal: true, consoleSize: { width: cols, height: rows } } : {}),
  };
}

/**
 * Absolute and clean, so that it means what it says. Never below /proc: a descriptor that runc left open there leads
 * out of the session (CVE-2024-21626).
 */
function checkCwd(cwd: string): Fault[] {
  const expected = 'an absolute path without . .. or empty parts, not below /proc';
  const parts = cwd.split('/').slice(1);
  const isClean = cwd === '/' || parts.every((part) => part !== '' && part !== '.' && part !== '..');
  const isFit = cwd.startsWith('/') && isClean && !cwd.includes('\0') && parts[0] !== 'proc';
  return isFit ? [] : [{ path: 'cwd', value: cwd, expected }];
}
