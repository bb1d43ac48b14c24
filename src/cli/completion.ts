import { createInputError } from '../core/error.js';
import { print } from './output.js';
import { shells } from './shells.js';
import { defineVerb, type Verb } from './verb.js';

const write = defineVerb({
  usage: 'cadre-containerd completion bash|zsh|fish',
  summary: "print a shell's completion of verbs, options, and names of sessions, images and volumes",
  example: 'source <(cadre-containerd completion bash)',
  options: {},
  takes: ['shell'],
  async run(_, [name]) {
    const script = Object.hasOwn(shells, name) ? shells[name] : undefined;
    if (script === undefined) {
      const expected = `one of ${Object.keys(shells).join(', ')}`;
      throw createInputError('arguments', [{ path: 'shell', value: name, expected }]);
    }
    process.stdout.write(script);
    return 0;
  },
});

/** `completion bash` writes what calls `completion candidates -- WORD...` for every word that is completed. */
export const completionVerb: Verb = {
  ...write,
  async run(args) {
    if (args[0] !== 'candidates' || args[1] !== '--') return write.run(args);
    const { findCandidates } = await import('./candidates.js');
    const { words, file = false } = await findCandidates(args.slice(2));
    for (const word of file ? [':file', ...words] : words) print(word);
    return 0;
  },
};
