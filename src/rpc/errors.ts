import { status } from '@grpc/grpc-js';
import { DriverError, type ErrorCode, hasCode } from '../core/error.js';

const codes: Record<number, ErrorCode> = {
  [status.CANCELLED]: 'canceled',
  [status.INVALID_ARGUMENT]: 'invalid-argument',
  [status.DEADLINE_EXCEEDED]: 'deadline-exceeded',
  [status.NOT_FOUND]: 'not-found',
  [status.ALREADY_EXISTS]: 'already-exists',
  [status.PERMISSION_DENIED]: 'permission-denied',
  [status.UNAUTHENTICATED]: 'permission-denied',
  [status.RESOURCE_EXHAUSTED]: 'resource-exhausted',
  [status.FAILED_PRECONDITION]: 'failed-precondition',
  [status.ABORTED]: 'aborted',
  [status.OUT_OF_RANGE]: 'out-of-range',
  [status.UNIMPLEMENTED]: 'unimplemented',
  [status.UNAVAILABLE]: 'unavailable',
  [status.DATA_LOSS]: 'data-loss',
};

/** The shim's and runc's own failures reach us as UNKNOWN; these are the ones whose meaning is certain. */
const unknownTexts: [RegExp, ErrorCode][] = [
  [/file exists|already exists/, 'already-exists'],
  [/ttrpc: closed|connection refused|connection reset/, 'unavailable'],
  [/no space left on device|disk quota exceeded/, 'resource-exhausted'],
  [/context deadline exceeded/, 'deadline-exceeded'],
  [/context canceled/, 'canceled'],
  [
    /cannot (exec|delete|start|pause|resume|kill|create|update)[^:]* (in a|a|in) \w+ (state|process|container)/,
    'failed-precondition',
  ],
  [/container not running/, 'failed-precondition'],
];

interface WireError {
  code: number;
  details: string;
}

/** True for what grpc-js rejects with. */
export function isWireError(error: unknown): error is WireError & Error {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' && 'details' in error;
}

/** Translates a failed call once, at the wire. `operation` reads `Tasks.Create`. */
export function translateError(error: unknown, operation: string): DriverError {
  if (error instanceof DriverError) return error;
  if (!isWireError(error)) {
    return new DriverError('unknown', `${operation}: ${error instanceof Error ? error.message : String(error)}`, {
      operation,
      cause: error,
    });
  }
  // 1.6 and 1.7 append the code's name to the text, 2.x does not; grpc-js an empty note.
  const details = error.details.replace(/: unknown$/, '').replace(/\.? Resolution note: $/, '');
  const code = codes[error.code] ?? unknownTexts.find(([pattern]) => pattern.test(details))?.[1] ?? 'unknown';
  return new DriverError(code, `${operation}: ${details}`, { operation, cause: error });
}

/** True when it was the daemon that could not be reached, and not a shim behind it. */
export function isDaemonAway(error: unknown): boolean {
  if (!hasCode(error, 'unavailable')) return false;
  const { cause } = error;
  return isWireError(cause) ? cause.code === status.UNAVAILABLE : isDaemonAway(cause);
}

/** True when the call never left this process, so that repeating it is safe whatever it does. */
export function wasNeverSent(error: unknown): boolean {
  return isWireError(error) && error.code === status.UNAVAILABLE && /^No connection established/.test(error.details);
}
