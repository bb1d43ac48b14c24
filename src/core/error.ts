/** What went wrong, as a word to switch on. Messages are for people and may change. */
export type ErrorCode =
  | 'invalid-argument'
  | 'not-found'
  | 'already-exists'
  | 'failed-precondition'
  | 'permission-denied'
  | 'resource-exhausted'
  | 'out-of-range'
  | 'unimplemented'
  | 'unavailable'
  | 'deadline-exceeded'
  | 'canceled'
  | 'aborted'
  | 'data-loss'
  | 'capability-mismatch'
  | 'destroyed'
  | 'unknown';

/** One thing wrong with an input: where, what was given, what would have been accepted. */
export interface Fault {
  /** Path of the field, such as `resources.memoryMb` or `mounts[1].path`. */
  path: string;
  /** What was given; `[hidden]` where it may be a secret. */
  value: unknown;
  /** What the field accepts, as a phrase: "a whole number of at least 1". */
  expected: string;
  /** The nearest known name, when the field's own name was not known. */
  suggestion?: string;
}

/** What an error carries beside its code and message. */
export interface DriverErrorOptions {
  /** The step that failed, such as `Tasks.Create` or `import image`. */
  operation?: string;
  /** What went wrong below. */
  cause?: unknown;
  /** What the clean-up then met, in the order it was met. */
  suppressed?: readonly unknown[];
  /** Each field that is wrong. */
  faults?: readonly Fault[];
  /** What whoever runs the host can do about it, where that is known; the message says it too. */
  remedy?: string;
}

/** The one error class of this library. Switch on `code`; `cause` and `suppressed` keep every failure met. */
export class DriverError extends Error {
  /** The class, for logs: switch on `code`. */
  override readonly name: string = 'DriverError';
  /** What went wrong, to switch on. */
  readonly code: ErrorCode;
  /** The step that failed, such as `Tasks.Create` or `import image`. */
  readonly operation: string | undefined;
  /** What the clean-up then met, in the order it was met. Empty where there was nothing. */
  readonly suppressed: readonly unknown[];
  /** Each field that is wrong, of a bad input or of a policy that cannot be honoured. Else empty. */
  readonly faults: readonly Fault[];
  /** What whoever runs the host can do about it, where that is known; the message says it too. */
  readonly remedy: string | undefined;

  constructor(code: ErrorCode, message: string, options: DriverErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.operation = options.operation;
    this.suppressed = options.suppressed ?? [];
    this.faults = options.faults ?? [];
    this.remedy = options.remedy;
  }
}

/**
 * A policy asks for what this provider cannot honour on this host. Nothing was created.
 * Carries both spellings that the framework's two generations read.
 */
export class CapabilityMismatchError extends DriverError {
  /** The class; `code` is `capability-mismatch`. */
  override readonly name = 'CapabilityMismatchError';
  /** `containerd`. */
  readonly providerName: string;
  /** Paths of the policy's fields that cannot be honoured; `faults` has what would be accepted. */
  readonly mismatchedAttributes: string[];
  /** The same list, as the older generation spells it. */
  readonly unsupportedPolicies: string[];

  constructor(providerName: string, faults: readonly Fault[]) {
    super('capability-mismatch', `${providerName} cannot honour ${faults.map(formatFault).join('; ')}`, { faults });
    this.providerName = providerName;
    this.mismatchedAttributes = faults.map((fault) => fault.path);
    this.unsupportedPolicies = this.mismatchedAttributes;
  }
}

/** An `invalid-argument` error that names every fault at once. */
export function createInputError(subject: string, faults: readonly Fault[]): DriverError {
  return new DriverError('invalid-argument', `invalid ${subject}: ${faults.map(formatFault).join('; ')}`, { faults });
}

export function hasCode(error: unknown, ...codes: ErrorCode[]): error is DriverError {
  return error instanceof DriverError && codes.includes(error.code);
}

/** Adds what a clean-up met to the error that made it necessary, so that neither is lost. */
export function addSuppressed(error: unknown, suppressed: readonly unknown[]): unknown {
  if (suppressed.length === 0) return error;
  const known = error instanceof DriverError ? error : undefined;
  return new DriverError(known?.code ?? 'unknown', error instanceof Error ? error.message : String(error), {
    cause: error,
    suppressed: [...(known?.suppressed ?? []), ...suppressed],
    faults: known?.faults ?? [],
    ...(known?.remedy === undefined ? {} : { remedy: known.remedy }),
    ...(known?.operation === undefined ? {} : { operation: known.operation }),
  });
}

function formatFault({ path, value, expected, suggestion }: Fault): string {
  const hint = suggestion === undefined ? '' : ` (did you mean ${suggestion}?)`;
  return `${path} = ${formatValue(value)}: expected ${expected}${hint}`;
}

/** A value as it appears in a message: short, on one line, and never a multi-line dump. */
export function formatValue(value: unknown): string {
  const text = describeValue(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function describeValue(value: unknown): string {
  // JSON has no word for these, and prints null.
  if (typeof value === 'number') return String(value);
  try {
    const text = JSON.stringify(value, (_, item: unknown) => (typeof item === 'bigint' ? String(item) : item));
    return text ?? String(value);
  } catch {
    return 'a value that cannot be shown';
  }
}
