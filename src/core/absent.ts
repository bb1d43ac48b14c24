import { readdirSync } from 'node:fs';
import { readdir } from 'node:fs/promises';

/** Whether a call on a file failed as there is no such file, nor a directory on the way to it. */
export function isAbsent(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '');
}

/** For `catch`: what is not there is undefined, and every other failure stays one. */
export function ignoreAbsent(error: unknown): undefined {
  if (isAbsent(error)) return undefined;
  throw error;
}

/** The names in a directory; none when there is no such directory. */
export async function listNames(directory: string): Promise<string[]> {
  return (await readdir(directory).catch(ignoreAbsent)) ?? [];
}

/** As `listNames`, for what must not be interrupted. */
export function listNamesSync(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    return ignoreAbsent(error) ?? [];
  }
}
