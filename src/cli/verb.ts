import { parseArgs } from 'node:util';
import { findSocket } from '../config/socket.js';
import { createInputError } from '../core/error.js';
import type { ProviderOptions } from '../provider/options.js';
import { ContainerdProvider } from '../provider/provider.js';

type OptionsConfig = Record<string, { type: 'string' | 'boolean'; short?: string; multiple?: boolean }>;
type Value<O extends OptionsConfig[string]> = O['type'] extends 'boolean' ? boolean : string;
type Values<T extends OptionsConfig> = {
  [K in keyof T]?: T[K]['multiple'] extends true ? Value<T[K]>[] : Value<T[K]>;
};

/** One command of the command line. */
export interface Verb {
  usage: string;
  summary: string;
  /** A call that works as it stands. */
  example: string;
  /** Resolves with the exit code. */
  run(args: string[]): Promise<number>;
}

/** Where containerd is; every verb that calls it takes these. */
export const connectionOptions = {
  address: { type: 'string' },
  namespace: { type: 'string', short: 'n' },
  'state-root': { type: 'string' },
  'volume-root': { type: 'string' },
} as const satisfies OptionsConfig;

/**
 * Reads a verb's options. They stand before the first positional argument: what follows it belongs to the command
 * that is run, dashes included.
 */
export function readOptions<const T extends OptionsConfig>(
  args: string[],
  options: T,
): { values: Values<T>; rest: string[] } {
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
      { path: 'options', value, expected: known.join(', ') },
    ]);
  }
}

/** A provider for a verb that makes no session of its own, or names its image later. */
export function openProvider(
  { address, namespace, 'state-root': stateRoot, 'volume-root': volumeRoot }: Values<typeof connectionOptions>,
  options: Partial<ProviderOptions> = {},
): ContainerdProvider {
  const given = { address: address === 'auto' ? findSocket() : address, namespace, stateRoot, volumeRoot };
  const connection = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return new ContainerdProvider({ image: 'scratch', ...connection, ...options });
}

const kinds: Record<string, string> = {
  session: 'the id or the name of a session',
  image: 'the name of an image',
  name: 'a new name for it',
  volume: 'the name of a volume',
  file: 'the path of a file',
};

/** Exactly the arguments of these kinds. */
export function takeArguments<const K extends readonly string[]>(
  rest: string[],
  ...names: K
): { [I in keyof K]: string } {
  const missing = names[rest.length];
  if (missing !== undefined) refuse(missing, undefined, kinds[missing] ?? missing);
  takeNone(rest.slice(names.length));
  return rest as { [I in keyof K]: string };
}

/** One of a kind, and what comes behind it. */
export function takeFirst([first, ...rest]: string[], name: string): [string, string[]] {
  return first === undefined ? refuse(name, first, kinds[name] ?? name) : [first, rest];
}

export function takeNone(rest: string[]): void {
  if (rest.length > 0) refuse('arguments', rest, 'none more');
}

function refuse(path: string, value: unknown, expected: string): never {
  throw createInputError('arguments', [{ path, value, expected }]);
}

export async function listVerbs(verbs: Record<string, () => Promise<Verb>>): Promise<string> {
  const lines = ['usage: cadre-containerd VERB [OPTIONS] [ARGUMENTS]', ''];
  for (const [name, load] of Object.entries(verbs)) lines.push(`  ${name.padEnd(10)} ${(await load()).summary}`);
  lines.push('', 'cadre-containerd VERB --help tells more of one.', '');
  return lines.join('\n');
}
