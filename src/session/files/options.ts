import { createInputError } from '../../core/error.js';
import { abortSignal, accept, checkOptions, type Rule } from '../../policy/rule.js';
import { boolean, whole } from '../../policy/schema.js';
import type {
  FileOptions,
  ListOptions,
  MakeDirectoryOptions,
  ReadFileOptions,
  RemoveOptions,
  StatOptions,
  WriteFileOptions,
} from './session-files.js';

/** PATH_MAX of the kernel, its NUL among it. */
const PATH_BYTES = 4096;

const mode = accept(
  (value) => Number.isInteger(value) && Number(value) >= 0 && Number(value) <= 0o777,
  'permissions from 0 to 0o777',
);
const signal = abortSignal;

const rules: {
  readFile: Record<keyof ReadFileOptions, Rule>;
  writeFile: Record<keyof WriteFileOptions, Rule>;
  readdir: Record<keyof ListOptions, Rule>;
  stat: Record<keyof StatOptions, Rule>;
  mkdir: Record<keyof MakeDirectoryOptions, Rule>;
  rm: Record<keyof RemoveOptions, Rule>;
  files: Record<keyof FileOptions, Rule>;
} = {
  readFile: { maxBytes: whole(0, undefined, 'of bytes'), signal },
  writeFile: { mode, signal },
  readdir: { maxEntries: whole(1), signal },
  stat: { followSymlinks: boolean, signal },
  mkdir: { recursive: boolean, mode, signal },
  rm: { recursive: boolean, force: boolean, signal },
  files: { signal },
};

export function checkFileOptions(what: keyof typeof rules, options: object): void {
  checkOptions(`${what} options`, options, rules[what]);
}

export function checkMode(value: number): void {
  checkOptions('chmod', { mode: value }, { mode }, ['mode']);
}

/** A path inside as the kernel takes it. Throws `invalid-argument` unless it is absolute and fits. */
export function encodePath(path: string | Uint8Array, field = 'path'): Buffer {
  const bytes =
    typeof path === 'string' ? Buffer.from(path) : path instanceof Uint8Array ? Buffer.from(path) : undefined;
  if (bytes?.[0] === '/'.charCodeAt(0) && bytes.length < PATH_BYTES && !bytes.includes(0)) return bytes;
  const expected = `an absolute path of less than ${PATH_BYTES} bytes, without NUL`;
  throw createInputError('path', [{ path: field, value: bytes?.toString() ?? path, expected }]);
}
