import { parseArgs } from 'node:util';
import { createInputError } from '../core/error.js';
import { type Arguments, checkArguments, type Kind, type Taken } from './arguments.js';

/** What an option's value is, for completion: one of a few words, or the name of something. */
export type Hint = Kind | readonly string[];

interface Option {
  type: 'string' | 'boolean';
  short?: string;
  multiple?: boolean;
  hint?: Hint;
}
export type Options = Readonly<Record<string, Option>>;

type Value<O extends Option> = O['type'] extends 'boolean' ? boolean : string;
export type Values<T extends Options> = {
  [K in keyof T]?: T[K]['multiple'] extends true ? Value<T[K]>[] : Value<T[K]>;
};

interface Words {
  usage: string;
  summary: string;
  /** A call that works as it stands. */
  example: string;
}

/** One command of the command line. */
export interface Verb extends Words {
  options: Options;
  takes: readonly Taken[];
  /** Of one that is several: `images ls`, `images rm`. */
  verbs?: Readonly<Record<string, Verb>>;
  /** Resolves with the exit code. */
  run(args: string[]): Promise<number>;
}

interface Definition<T extends Options, K extends readonly Taken[]> extends Words {
  options: T;
  takes: K;
  run(values: Values<T>, rest: Arguments<K>): Promise<number>;
}

/** A verb whose options and arguments are read by its tables, before anything else is done. */
export function defineVerb<const T extends Options, const K extends readonly Taken[]>(
  definition: Definition<T, K>,
): Verb {
  return {
    ...definition,
    async run(args) {
      const { values, rest } = readOptions(args, definition.options);
      return definition.run(values, checkArguments(rest, definition.takes));
    },
  };
}

/** Where containerd is; every verb that calls it takes these. */
export const connectionOptions = {
  address: { type: 'string', hint: 'file' },
  namespace: { type: 'string', short: 'n' },
  'state-root': { type: 'string', hint: 'file' },
  'volume-root': { type: 'string', hint: 'file' },
} as const satisfies Options;

/**
 * Reads a verb's options. They stand before the first positional argument: what follows it belongs to the command
 * that is run, dashes included.
 */
function readOptions<T extends Options>(args: string[], options: T): { values: Values<T>; rest: string[] } {
  const { tokens } = parseArgs({ args, options, strict: false, allowPositionals: true, tokens: true });
  const first = tokens.find((token) => token.kind === 'positional' || token.kind === 'option-terminator');
  const end = first === undefined ? args.length : first.index;
  const rest = args.slice(first?.kind === 'option-terminator' ? end + 1 : end);
  try {
    return { values: parseArgs({ args: args.slice(0, end), options, strict: true }).values as Values<T>, rest };
  } catch (cause) {
    const known = Object.keys(options).map((name) => `--${name}`);
    const value = args.slice(0, end).join(' ');
    throw createInputError(`options: ${(cause as Error).message.split('. ')[0]}`, [
      { path: 'options', value, expected: known.join(', ') || 'none' },
    ]);
  }
}
