import { createInputError } from '../core/error.js';

const SIZES: Record<string, number> = { '': 1, b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };
const DURATIONS: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Bytes of a size as docker has it, such as `256m`. */
export function parseSize(option: string, text: string): number {
  return parseUnit(option, text, SIZES, 'a size such as 256m or 1g');
}

/** Ms of a duration such as `90s` or `30m`. */
export function parseDuration(option: string, text: string): number {
  return parseUnit(option, text, DURATIONS, 'a duration such as 500ms, 90s, 30m or 2h');
}

function parseUnit(option: string, text: string, units: Record<string, number>, expected: string): number {
  const [, digits = '', unit = ''] = text.match(/^(\d+(?:\.\d+)?)([a-z]*)$/i) ?? [];
  const factor = Object.hasOwn(units, unit.toLowerCase()) ? units[unit.toLowerCase()] : undefined;
  if (digits !== '' && factor !== undefined) return Math.round(Number(digits) * factor);
  throw createInputError('options', [{ path: `--${option}`, value: text, expected }]);
}

export function parseNumber(option: string, text: string): number {
  if (/^-?\d+(\.\d+)?$/.test(text)) return Number(text);
  throw createInputError('options', [{ path: `--${option}`, value: text, expected: 'a number' }]);
}

/** `-e A=B`, and `-e A` for the value that this process has. */
export function parseEnv(entries: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    entries.map((entry) => {
      const at = entry.indexOf('=');
      const name = at < 0 ? entry : entry.slice(0, at);
      const value = at < 0 ? process.env[name] : entry.slice(at + 1);
      if (name !== '' && value !== undefined) return [name, value];
      const expected = 'NAME=VALUE, or the NAME of a variable that is set here';
      throw createInputError('options', [{ path: '--env', value: name, expected }]);
    }),
  );
}

/** What a prune leaves. */
export const pruneOptions = { 'older-than': { type: 'string' }, keep: { type: 'string' } } as const;

/** `bytes` is what the library calls the limit there. */
export function readPruneOptions<const B extends string>(
  { 'older-than': age, keep }: { 'older-than'?: string; keep?: string },
  bytes: B,
): { olderThanMs?: number } & { [K in B]?: number } {
  return Object.assign(
    {},
    age === undefined ? {} : { olderThanMs: parseDuration('older-than', age) },
    keep === undefined ? {} : { [bytes]: parseSize('keep', keep) },
  );
}
