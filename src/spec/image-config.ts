import { posix } from 'node:path';
import { createInputError, type Fault } from '../core/error.js';
import { isFitCwd } from './cwd.js';
import { checkText } from './environment.js';

/** What an image says of its processes (image-spec, config.md). */
export interface ImageConfig {
  User?: string | undefined;
  Env?: string[] | undefined;
  WorkingDir?: string | undefined;
}

/**
 * The environment and the working directory of an image, which is anybody's work: `WorkingDir` is one of the two ways
 * of CVE-2024-21626. A relative or untidy one is taken from the root, as other engines do. Throws `invalid-argument`
 * with every fault; values of variables are in none.
 */
export function readImageConfig({ Env, WorkingDir }: ImageConfig): { env: string[]; cwd: string } {
  const cwd = posix.resolve('/', WorkingDir ?? '');
  // An entry without a name and `=` means nothing to execve(2).
  const isMeant = (entry: string) => entry.indexOf('=') > 0;
  const env = (Env ?? []).filter(isMeant);
  const faults: Fault[] = (Env ?? []).flatMap((entry, index) =>
    isMeant(entry) ? checkText(`image.Env[${index}]`, entry, { isHidden: true }) : [],
  );
  if (!isFitCwd(cwd)) {
    faults.push({ path: 'image.WorkingDir', value: WorkingDir, expected: 'a path without NUL, not below /proc' });
  }
  if (faults.length > 0) throw createInputError('image', faults);
  return { env, cwd };
}
