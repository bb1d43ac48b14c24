import { DriverError } from '../core/error.js';
import { explainAbsence } from './absence.js';
import type { SessionContext } from './context.js';

/** Whether a session is still there, as far as this process knows. */
export class Life {
  readonly #context: SessionContext;
  readonly #id: string;
  #hasEnded = false;

  constructor(context: SessionContext, id: string) {
    this.#context = context;
    this.#id = id;
  }

  /** From now on every call is refused. */
  end(): void {
    this.#hasEnded = true;
  }

  assert(): void {
    if (this.#hasEnded) throw new DriverError('destroyed', `session ${this.#id} is destroyed`);
  }

  /** Names the end of the session as the reason where another process destroyed or stopped it. */
  async while<T>(act: () => Promise<T>, options: { mayBeStopped?: boolean } = {}): Promise<T> {
    this.assert();
    try {
      return await act();
    } catch (error) {
      this.assert();
      throw await explainAbsence(this.#context.channel, this.#id, error, options);
    }
  }

  /** The same for each item of a stream. */
  async *each<T>(items: AsyncGenerator<T, void, undefined>): AsyncGenerator<T, void, undefined> {
    try {
      for (;;) {
        const { done, value } = await this.while(() => items.next());
        if (done) return;
        yield value;
      }
    } finally {
      await items.return();
    }
  }
}
