import { addSuppressed, type ErrorCode, hasCode } from './error.js';

export type Undo = () => unknown;

export interface UndoOptions {
  /** May be undone at the same time as its neighbours on the stack that may too. Defaults to false. */
  isIndependent?: boolean;
}

interface Step extends UndoOptions {
  name: string;
  undo: Undo;
}

/** Refusals: the other side says that it made nothing. After any other failure it may have, and is undone. */
const refusals: ErrorCode[] = [
  'already-exists',
  'invalid-argument',
  'not-found',
  'failed-precondition',
  'permission-denied',
  'unimplemented',
  'out-of-range',
];

/**
 * A stack of undo steps. Each acquisition registers its undo on the next line; `run` takes them back in reverse.
 *
 * A step that fails stops the run and stays on the stack with every step below it: those were acquired first and may
 * still be in use by what could not be released (a record must outlive its task). A later `run` carries on from there.
 */
export class Cleanup {
  #steps: Step[] = [];
  #running: Promise<CleanupFailure | undefined> | undefined;

  /** The names of what is still to be undone, the next one first. */
  get pending(): string[] {
    return this.#steps.map((step) => step.name).reverse();
  }

  defer(name: string, undo: Undo, options: UndoOptions = {}): void {
    this.#steps.push({ ...options, name, undo });
  }

  /**
   * Acquires over a wire that can lose the answer: the undo is registered when `act` succeeds, and also when it fails
   * in a way that does not prove that nothing was made. A refusal registers nothing, so that what another owner holds
   * under the same name stays unharmed.
   */
  async acquire<T>(name: string, act: () => Promise<T>, undo: Undo, options: UndoOptions = {}): Promise<T> {
    try {
      const result = await act();
      this.defer(name, undo, options);
      return result;
    } catch (error) {
      if (!hasCode(error, ...refusals)) this.defer(name, undo, options);
      throw error;
    }
  }

  /** Takes a step off the stack whose acquisition was given back already. */
  forget(name: string): void {
    const index = this.#steps.findLastIndex((step) => step.name === name);
    if (index >= 0) this.#steps.splice(index, 1);
  }

  /** Undoes everything that is left; resolves with the failure that stopped it, if any. Concurrent calls share a run. */
  run(): Promise<CleanupFailure | undefined> {
    this.#running ??= this.#unwind().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #unwind(): Promise<CleanupFailure | undefined> {
    while (this.#steps.length > 0) {
      const group = this.#listNext();
      const failures: CleanupFailure[] = [];
      const tryStep = async (step: Step) => {
        try {
          await step.undo();
          this.#steps = this.#steps.filter((other) => other !== step);
        } catch (error) {
          failures.push({ step: step.name, error, pending: [] });
        }
      };
      await Promise.all(group.map(tryStep));
      const [failure] = failures;
      if (failure !== undefined) return { ...failure, pending: this.pending };
    }
    return undefined;
  }

  /** The uppermost step, with those next to it where all of them are independent. */
  #listNext(): Step[] {
    const dependent = this.#steps.findLastIndex((step) => !step.isIndependent);
    return this.#steps.slice(Math.min(dependent + 1, this.#steps.length - 1)).reverse();
  }
}

/** Runs `work` with a stack of its own and undoes all of it on every way out; both failures are kept when both fail. */
export async function withCleanup<T>(work: (undo: Cleanup) => Promise<T>): Promise<T> {
  const undo = new Cleanup();
  try {
    const result = await work(undo);
    const failure = await undo.run();
    if (failure !== undefined) throw failure.error;
    return result;
  } catch (error) {
    const failure = await undo.run();
    throw addSuppressed(error, failure === undefined ? [] : [failure.error]);
  }
}

export interface CleanupFailure {
  step: string;
  error: unknown;
  pending: string[];
}
