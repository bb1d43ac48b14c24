import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type History, isLater } from './compare.js';

export interface FullHistory extends History {
  /** Old name and new name of what had already moved in a later version than the given one. */
  readonly renamedAfter: (version: string) => Map<string, string>;
}

interface SinceFile {
  since: Record<string, string[]>;
  renamed: Record<string, { to: string; in: string }>;
  dropped: Record<string, string>;
}

/** since.json: what later versions of containerd and of its cgroups library changed in the part that we transcribe. */
export function readHistory(): FullHistory {
  const text = readFileSync(join(import.meta.dirname, 'since.json'), 'utf8');
  const { since, renamed, dropped } = JSON.parse(text) as SinceFile;
  return {
    since: new Map(Object.entries(since).flatMap(([version, names]) => names.map((name) => [name, version]))),
    dropped: new Map(Object.entries(dropped)),
    renamedAfter: (version) =>
      new Map(
        Object.entries(renamed)
          .filter(([, move]) => isLater(move.in, version))
          .map(([from, { to }]) => [from, to]),
      ),
  };
}
