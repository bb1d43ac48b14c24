import { styleText } from 'node:util';
import { createInputError } from '../core/error.js';
import { formatTable } from './table.js';

/** `--json`, or docker's spelling of it. */
export const outputOptions = {
  json: { type: 'boolean' },
  format: { type: 'string', hint: ['json', 'table'] },
} as const;

interface OutputValues {
  json?: boolean;
  format?: string;
}

export function isJson({ json = false, format }: OutputValues): boolean {
  if (format === undefined || format === 'table') return json;
  if (format === 'json') return true;
  throw createInputError('options', [{ path: '--format', value: format, expected: 'json or table' }]);
}

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** One line of JSON, or what a person reads. */
export function printResult(values: OutputValues, result: unknown, describe: () => string): void {
  print(isJson(values) ? JSON.stringify(result) : describe());
}

export const listOptions = { ...outputOptions, quiet: { type: 'boolean', short: 'q' } } as const;

/** Names alone, a line of JSON each, or a table. */
export function printList<T>(
  values: OutputValues & { quiet?: boolean },
  items: readonly T[],
  { name, header, describe }: { name: (item: T) => string; header: readonly string[]; describe: (item: T) => string[] },
): void {
  if (values.quiet) for (const item of items) print(name(item));
  else if (isJson(values)) for (const item of items) print(JSON.stringify(item));
  else process.stdout.write(formatTable(header, items.map(describe)));
}

const BAR = 10;

/** How much of a whole; nothing where no terminal shows it. */
export function drawBar(share: number, stream: { isTTY?: boolean } = process.stdout): string {
  const filled = Math.round(Math.min(1, Math.max(0, share)) * BAR);
  return stream.isTTY ? '█'.repeat(filled) + '░'.repeat(BAR - filled) : '';
}

/** Colours are for a terminal, and not where NO_COLOR is set. */
export function paint(colour: 'green' | 'red' | 'yellow' | 'gray', text: string): string {
  return styleText(colour, text, { stream: process.stdout });
}
