import { findKind, type Kind } from './arguments.js';
import { connectionOptions, type Hint, type Options, type Values, type Verb } from './verb.js';
import { loadVerb, verbs } from './verbs.js';

/** What could stand where a word is being written. `file` leaves it to the shell. */
export interface Candidates {
  words: string[];
  file?: boolean;
}

/** `words` are those behind the program's name; the last one is being written and may be empty. */
export async function findCandidates(words: readonly string[]): Promise<Candidates> {
  const before = words.slice(0, -1);
  const current = words.at(-1) ?? '';
  const all = await listCandidates(before, current);
  return { ...all, words: all.words.filter((word) => word.startsWith(current)) };
}

async function listCandidates([name, ...words]: string[], current: string): Promise<Candidates> {
  if (name === undefined) return { words: [...Object.keys(verbs), '--help', '--version'] };
  let verb = await loadVerb(name);
  while (verb?.verbs !== undefined) {
    const [word, ...rest] = words;
    if (word === undefined) return { words: [...Object.keys(verb.verbs), '--help'] };
    verb = verb.verbs[word];
    words = rest;
  }
  return verb === undefined ? { words: [] } : completeVerb(verb, words, current);
}

async function completeVerb({ options, takes }: Verb, words: string[], current: string): Promise<Candidates> {
  const { values, pending, taken } = walk(words, options);
  if (pending !== undefined) return nameValues(pending, values);
  const [, option = ''] = current.match(/^--([^=]+)=/) ?? [];
  const hint = options[option]?.hint;
  if (taken === 0 && hint !== undefined) {
    const found = await nameValues(hint, values);
    return { ...found, words: found.words.map((word) => `--${option}=${word}`) };
  }
  if (taken === 0 && current.startsWith('-')) {
    return { words: [...Object.keys(options), 'help'].map((each) => `--${each}`) };
  }
  return nameValues(findKind(takes, taken) ?? [], values);
}

interface Walked {
  values: Values<typeof connectionOptions>;
  /** What the option that the last word is one of wants behind it. */
  pending?: Hint;
  /** How many arguments there are. */
  taken: number;
}

/** Reads options as `readOptions` does, forgiving all that is wrong with them. */
function walk(words: readonly string[], options: Options): Walked {
  const values: Values<typeof connectionOptions> = {};
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? '';
    if (word === '--') return { values, taken: words.length - i - 1 };
    if (!word.startsWith('-') || word === '-') return { values, taken: words.length - i };
    const [spelt = '', inline] = word.split(/=(.*)/s);
    const [name, option] = findOption(spelt, options) ?? [];
    if (option?.type !== 'string') continue;
    if (inline === undefined && i + 1 === words.length) return { values, pending: option.hint ?? [], taken: 0 };
    const value = inline ?? words[++i] ?? '';
    if (name !== undefined && Object.hasOwn(connectionOptions, name)) Object.assign(values, { [name]: value });
  }
  return { values, taken: 0 };
}

/** Of several letters in one word the last one may want a value: `-it`. */
function findOption(spelt: string, options: Options) {
  const name = spelt.startsWith('--') ? spelt.slice(2) : undefined;
  return Object.entries(options).find(([long, { short }]) =>
    name === undefined ? short === spelt.at(-1) : long === name,
  );
}

async function nameValues(hint: Hint, values: Walked['values']): Promise<Candidates> {
  if (typeof hint !== 'string') return { words: [...hint] };
  if (hint === 'file' || hint === 'place' || hint === 'command') return { words: [], file: true };
  return { words: await listNames(hint, values) };
}

/** A prompt is no place for a failure: where nobody answers, nothing is known. */
async function listNames(kind: Kind, values: Walked['values']): Promise<string[]> {
  if (kind === 'shell') return ['bash', 'zsh', 'fish'];
  if (kind === 'name' || kind === 'port') return [];
  const names: string[] = [];
  try {
    const { openProvider } = await import('./connection.js');
    await using provider = await openProvider(values);
    if (kind === 'image') for await (const { name } of provider.images.list()) names.push(name);
    if (kind === 'volume') for await (const { name } of provider.volumes.list()) names.push(name);
    if (kind === 'network') for await (const { name } of provider.networks.list()) names.push(name);
    if (kind === 'session') for await (const { name, sessionId } of provider.list()) names.push(name ?? sessionId);
  } catch {
    return [];
  }
  return names;
}
