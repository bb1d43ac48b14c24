export type Undo = () => unknown;

/**
 * A stack of undo steps. Each acquisition registers its undo on the next line; `run` takes them back in reverse.
 *
 * A step that fails stops the run and stays on the stack with every step below it: those were acquired first and may
 * still be in use by what could not be released (a record must outlive its task). A later `run` carries on from there.
 */
export class Cleanup {
  readonly #steps: { name: string; undo: Undo }[] = [];
  #running: Promise<CleanupFailure | undefined> | undefined;

  /** The names of what is still to be undone, the next one first. */
  get pending(): string[] {
    return this.#steps.map((step) => step.name).reverse();
  }

  defer(name: string, undo: Undo): void {
    this.#steps.push({ name, undo });
  }

  /** Undoes everything that is left; resolves with the failure that stopped it, if any. Concurrent calls share a run. */
  run(): Promise<CleanupFailure | undefined> {
    this.#running ??= this.#unwind().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #unwind(): Promise<CleanupFailure | undefined> {
    for (let step = this.#steps.at(-1); step !== undefined; step = this.#steps.at(-1)) {
      try {
        await step.undo();
      } catch (error) {
        return { step: step.name, error, pending: this.pending };
      }
      this.#steps.pop();
    }
    return undefined;
  }
}

export interface CleanupFailure {
  step: string;
  error: unknown;
  pending: string[];
}
