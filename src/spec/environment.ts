import type { Fault } from '../core/error.js';
import type { ResolvedPolicy } from '../policy/types.js';
import type { OciRlimit } from './types.js';

/** MAX_ARG_STRLEN of execve(2): one string of arguments or environment, its NUL included. */
const STRING_BYTES = 131_072;
/** execve(2) takes a quarter of the stack's limit, of which 8 MiB is the usual one, within these bounds (fs/exec.c). */
const STACK_BYTES = 8 * 1024 * 1024;
const TOTAL_BYTES = { min: 131_072, max: 6 * 1024 * 1024 };
/** Each string costs a pointer beside itself. */
const POINTER_BYTES = 8;
const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** A command and its arguments, as they are: no shell reads them. */
export function checkArguments(path: string, args: readonly unknown[]): Fault[] {
  const faults = args.flatMap((value, index) => checkText(`${path}[${index}]`, value));
  if (faults.length === 0 && args[0] === '') faults.push({ path: `${path}[0]`, value: '', expected: 'a program' });
  return faults;
}

/** A value that is too long would make the process end with 1 and no word of the reason. Values are in no fault. */
export function checkEnv(env: Readonly<Record<string, unknown>>): Fault[] {
  return Object.entries(env).flatMap(([key, value]) => {
    const path = `env.${key}`;
    if (key === '' || /[=\0]/.test(key))
      return [{ path, value: key, expected: 'a key without = or NUL that is not empty' }];
    return checkText(path, value, { more: Buffer.byteLength(key) + 1, isHidden: true });
  });
}

export function checkText(path: string, value: unknown, { more = 0, isHidden = false } = {}): Fault[] {
  const shown = isHidden ? '[hidden]' : value;
  if (typeof value !== 'string') return [{ path, value: shown, expected: 'a text' }];
  if (value.includes('\0')) return [{ path, value: shown, expected: 'a text without NUL' }];
  const bytes = Buffer.byteLength(value) + more;
  if (bytes < STRING_BYTES) return [];
  return [{ path, value: `${bytes} bytes`, expected: `fewer than ${STRING_BYTES} bytes` }];
}

/** Arguments and environment together, for a process that starts with these limits. */
export function checkTotal(args: readonly string[], env: readonly string[], rlimits: readonly OciRlimit[]): Fault[] {
  const stack = rlimits.find(({ type }) => type === 'RLIMIT_STACK')?.soft ?? STACK_BYTES;
  const most = Math.min(Math.max(Math.floor(stack / 4), TOTAL_BYTES.min), TOTAL_BYTES.max);
  const bytes = [...args, ...env].reduce((sum, text) => sum + Buffer.byteLength(text) + 1 + POINTER_BYTES, 0);
  if (bytes <= most) return [];
  return [{ path: 'env', value: `${bytes} bytes`, expected: `at most ${most} bytes, those of the command included` }];
}

/**
 * What is added to the image's environment, later ones win: variables of the host that the policy names and the host
 * has, secrets that were asked for as variables, those of the session.
 */
export function chooseEnv(
  { envAllowlist, secrets }: Pick<ResolvedPolicy, 'envAllowlist' | 'secrets'>,
  hostEnv: Readonly<Record<string, string | undefined>>,
  env: Readonly<Record<string, string>>,
): Record<string, string> {
  const passed = envAllowlist.flatMap((name) => {
    const value = Object.hasOwn(hostEnv, name) ? hostEnv[name] : undefined;
    return value === undefined ? [] : [[name, value] as const];
  });
  const asVariables = secrets.filter(({ as }) => as === 'env').map(({ name, value }) => [name, value] as const);
  return Object.fromEntries([...passed, ...asVariables, ...Object.entries(env)]);
}

/** Later entries win; PATH is always there, as execve(2) searches nothing by itself. */
export function mergeEnv(base: readonly string[], added: Readonly<Record<string, string>>): string[] {
  const merged = new Map<string, string>();
  const entries = [PATH, ...base, ...Object.entries(added).map(([key, value]) => `${key}=${value}`)];
  for (const entry of entries) merged.set(entry.slice(0, entry.indexOf('=')), entry);
  return [...merged.values()];
}
