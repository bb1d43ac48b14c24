import { getSystemErrorMap } from 'node:util';
import { DriverError, type ErrorCode, formatValue } from '../../core/error.js';

const codes: Record<string, ErrorCode> = {
  ENOENT: 'not-found',
  ENOTDIR: 'not-found',
  EEXIST: 'already-exists',
  EACCES: 'permission-denied',
  EPERM: 'permission-denied',
  EROFS: 'permission-denied',
  ENOSPC: 'resource-exhausted',
  EDQUOT: 'resource-exhausted',
  EFBIG: 'resource-exhausted',
  EMFILE: 'resource-exhausted',
  ENFILE: 'resource-exhausted',
  ENOMEM: 'resource-exhausted',
  EISDIR: 'failed-precondition',
  ENODEV: 'failed-precondition',
  ENOTEMPTY: 'failed-precondition',
  EBUSY: 'failed-precondition',
  EXDEV: 'failed-precondition',
  ELOOP: 'failed-precondition',
  EINVAL: 'invalid-argument',
  ENAMETOOLONG: 'invalid-argument',
  ECANCELED: 'canceled',
};

/** Codes of 128 and more are signals, as shells have them. */
const SIGNALS = 128;

/** The kernel's words for what the supervisor uses a number for that says something else. */
const words: Record<string, string> = { ENODEV: 'not a regular file', ECANCELED: 'the input ended early' };

/** What the kernel says of a path inside. */
class PathError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** What kept an operation from being done. `cause.code` is the kernel's own name, such as `ENOENT`. */
export function describeFailure(operation: string, errno: number, path: string): DriverError {
  const shown = formatValue(path);
  if (errno > SIGNALS) {
    const message = `${operation} of ${shown} was ended by signal ${errno - SIGNALS} from inside`;
    return new DriverError('aborted', message, { operation });
  }
  const [name, text] = getSystemErrorMap().get(-errno) ?? [`errno ${errno}`, 'failed'];
  const message = `${shown}: ${words[name] ?? text} (${name})`;
  const cause = new PathError(name, message);
  return new DriverError(codes[name] ?? 'unknown', message, { operation, cause });
}

export function isOfPath(error: unknown): error is DriverError {
  return error instanceof DriverError && error.cause instanceof PathError;
}

/** There is nothing at the path, or what leads to it is no directory. */
export function isAbsent(error: unknown): boolean {
  return isOfPath(error) && error.code === 'not-found';
}
