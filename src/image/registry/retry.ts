import { setTimeout as sleep } from 'node:timers/promises';
import { DriverError } from '../../core/error.js';

const PAUSE_MS = { first: 200, most: 10_000 };
/** A registry that asks for a longer pause is taken at its word: it is not tried again. */
const LONGEST_ASKED_MS = 60_000;

/** A failure that may pass when the same is tried again. Never leaves this directory. */
export class TransientFailure extends Error {
  readonly failure: DriverError;
  /** What the registry asks for before the next attempt. */
  readonly pauseMs: number | undefined;

  constructor(failure: DriverError, pauseMs?: number) {
    super(failure.message, { cause: failure });
    this.failure = failure;
    this.pauseMs = pauseMs;
  }
}

export interface RetryOptions {
  retries: number;
  signal: AbortSignal | undefined;
}

/** Counts the attempts at one thing and pauses between them, longer each time and never in step with others. */
export class Attempts {
  readonly #options: RetryOptions;
  #failed = 0;

  constructor(options: RetryOptions) {
    this.#options = options;
  }

  /** To be called when something was gained since the last failure. */
  reset(): void {
    this.#failed = 0;
  }

  /** Returns when the next attempt is due. Throws the failure when it is final or the last that is borne. */
  async bear(error: unknown): Promise<void> {
    if (!(error instanceof TransientFailure)) throw error;
    const { retries, signal } = this.#options;
    const { failure, pauseMs: asked = 0 } = error;
    if (this.#failed >= retries || asked > LONGEST_ASKED_MS) throw failure;
    const pause = Math.min(PAUSE_MS.first * 2 ** this.#failed, PAUSE_MS.most);
    this.#failed += 1;
    await pauseFor(Math.max(asked, pause * (0.5 + Math.random())), signal);
  }
}

export async function retry<T>(attempt: () => Promise<T>, options: RetryOptions): Promise<T> {
  for (const attempts = new Attempts(options); ; ) {
    try {
      return await attempt();
    } catch (error) {
      await attempts.bear(error);
    }
  }
}

export async function pauseFor(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(ms, undefined, signal === undefined ? {} : { signal });
  } catch (cause) {
    throw new DriverError('canceled', 'the registry was being waited for: canceled', { cause });
  }
}

/** The header `Retry-After`: seconds, or a date (RFC 9110, 10.2.3). */
export function parseRetryAfter(value: string | undefined, now = Date.now()): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d+$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
