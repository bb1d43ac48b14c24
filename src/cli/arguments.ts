import { createInputError } from '../core/error.js';

const kinds = {
  session: 'the id or the name of a session',
  image: 'the name of an image',
  name: 'a new name for it',
  volume: 'the name of a volume',
  network: 'the name of a network',
  port: 'the number of a port',
  file: 'the path of a file',
  place: 'the path of a file, or SESSION:PATH',
  command: 'a command',
  shell: 'bash, zsh or fish',
} as const;

export type Kind = keyof typeof kinds;
/** One argument of a kind; with `...` one or more, in brackets none or more. */
export type Taken = Kind | `${Kind}...` | `[${Kind}...]`;

export type Arguments<K extends readonly Taken[]> = K extends readonly [
  infer First,
  ...infer Rest extends readonly Taken[],
]
  ? First extends `${string}...`
    ? [string, ...string[]]
    : First extends `[${string}`
      ? string[]
      : [string, ...Arguments<Rest>]
  : [];

/** Exactly the arguments that are taken. */
export function checkArguments<K extends readonly Taken[]>(rest: string[], takes: K): Arguments<K> {
  const missing = takes[rest.length];
  if (missing !== undefined && !missing.startsWith('[')) {
    const kind = nameKind(missing);
    throw createInputError('arguments', [{ path: kind, value: undefined, expected: kinds[kind] }]);
  }
  const isOpen = takes.at(-1)?.includes('...') ?? false;
  if (!isOpen && rest.length > takes.length) {
    throw createInputError('arguments', [
      { path: 'arguments', value: rest.slice(takes.length), expected: 'none more' },
    ]);
  }
  return rest as Arguments<K>;
}

/** The kind of the argument at that place; undefined where none is taken. */
export function findKind(takes: readonly Taken[], index: number): Kind | undefined {
  const last = takes.at(-1);
  const taken = takes[index] ?? (last?.includes('...') ? last : undefined);
  return taken && nameKind(taken);
}

function nameKind(taken: Taken): Kind {
  return taken.replace(/[^a-z]/g, '') as Kind;
}
