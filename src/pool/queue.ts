import { DriverError } from '../core/error.js';

interface Waiter<M> {
  resolve: (member: M) => void;
  reject: (error: unknown) => void;
}

/** Those who wait for a member, first come first served. */
export class Queue<M> {
  #waiters: Waiter<M>[] = [];

  get length(): number {
    return this.#waiters.length;
  }

  /**
   * Rejects with `canceled` when the signal is aborted, and with `deadline-exceeded` after `waitMs`; what `describe` says
   * of it then is in the message.
   */
  wait({ waitMs, signal }: { waitMs: number; signal?: AbortSignal | undefined }, describe: () => string): Promise<M> {
    return new Promise<M>((resolve, reject) => {
      const settle = (act: () => void) => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
        act();
      };
      const waiter: Waiter<M> = {
        resolve: (member) => settle(() => resolve(member)),
        reject: (error) => settle(() => reject(error)),
      };
      const abort = () => waiter.reject(describeAbort(signal));
      const timer = setTimeout(() => {
        waiter.reject(new DriverError('deadline-exceeded', `${describe()} in ${waitMs} ms`, { operation: 'take' }));
      }, waitMs);
      signal?.addEventListener('abort', abort);
      this.#waiters.push(waiter);
    });
  }

  /** False when nobody waits. */
  give(member: M): boolean {
    const [first] = this.#waiters;
    first?.resolve(member);
    return first !== undefined;
  }

  fail(error: unknown): void {
    this.#waiters[0]?.reject(error);
  }

  failAll(error: unknown): void {
    while (this.#waiters.length > 0) this.fail(error);
  }
}

export function describeAbort(signal: AbortSignal | undefined): DriverError {
  return new DriverError('canceled', 'taking a session was aborted', { operation: 'take', cause: signal?.reason });
}
