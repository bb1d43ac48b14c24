import type { Fault } from '../core/error.js';

/** MAX_ARG_STRLEN of execve(2): one string of arguments or environment, its NUL included. */
const STRING_BYTES = 131_072;
/** A quarter of the default stack limit of 8 MiB is what execve(2) takes in all. */
const TOTAL_BYTES = 2 * 1024 * 1024;
const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** A command and its arguments, as they are: no shell reads them. */
export function checkArguments(path: string, args: readonly unknown[]): Fault[] {
  const faults = args.flatMap((value, index) => checkText(`${path}[${index}]`, value));
  if (faults.length === 0 && args[0] === '') faults.push({ path: `${path}[0]`, value: '', expected: 'a program' });
  const bytes = (args as string[]).reduce((sum, text) => sum + Buffer.byteLength(String(text)) + 1, 0);
  if (bytes > TOTAL_BYTES)
    faults.push({ path, value: `${bytes} bytes`, expected: `at most ${TOTAL_BYTES} bytes in all` });
  return faults;
}

/** A value that is too long would make the process end with 1 and no word of the reason. */
export function checkEnv(env: Readonly<Record<string, unknown>>): Fault[] {
  return Object.entries(env).flatMap(([key, value]) => {
    const path = `env.${key}`;
    if (key === '' || /[=\0]/.test(key))
      return [{ path, value: key, expected: 'a key without = or NUL that is not empty' }];
    return checkText(path, value, Buffer.byteLength(key) + 1);
  });
}

function checkText(path: string, value: unknown, more = 0): Fault[] {
  if (typeof value !== 'string') return [{ path, value, expected: 'a text' }];
  if (value.includes('\0')) return [{ path, value, expected: 'a text without NUL' }];
  const bytes = Buffer.byteLength(value) + more;
  if (bytes < STRING_BYTES) return [];
  return [{ path, value: `${bytes} bytes`, expected: `fewer than ${STRING_BYTES} bytes` }];
}

/** Later entries win; PATH is always there, as execve(2) searches nothing by itself. */
export function mergeEnv(base: readonly string[], added: Readonly<Record<string, string>>): string[] {
  const merged = new Map<string, string>();
  const entries = [PATH, ...base, ...Object.entries(added).map(([key, value]) => `${key}=${value}`)];
  for (const entry of entries) merged.set(entry.slice(0, entry.indexOf('=')), entry);
  return [...merged.values()];
}
