import { createInputError } from '../core/error.js';
import type { Verb } from './verb.js';

/** A verb of several: `images ls`, `images rm`. The first argument says which; without one it is `otherwise`. */
export function joinVerbs(
  name: string,
  summary: string,
  verbs: Readonly<Record<string, Verb>>,
  otherwise?: Verb,
): Verb {
  const names = Object.keys(verbs);
  return {
    usage: Object.values(verbs)
      .map(({ usage }, index) => (index === 0 ? usage : `       ${usage}`))
      .join('\n'),
    summary: `${summary}: ${names.join(', ')}`,
    example: Object.values(verbs)
      .map(({ example }) => example)
      .join('\n  '),
    options: {},
    takes: [],
    verbs,
    async run(args) {
      const [word = '', ...rest] = args;
      const verb = Object.hasOwn(verbs, word) ? verbs[word] : undefined;
      if (verb !== undefined) return verb.run(rest);
      if (otherwise !== undefined && (word === '' || word.startsWith('-'))) return otherwise.run(args);
      throw createInputError('command', [{ path: name, value: word, expected: `one of ${names.join(', ')}` }]);
    },
  };
}
