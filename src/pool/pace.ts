/** After the first failure, in ms; it doubles with each that follows. */
const BACKOFF_MS = { first: 250, most: 30_000 };

/** When the next one may be made ahead: at a bounded rate, and the later the more often it has failed. */
export class Pace {
  readonly #gapMs: number;
  #failures = 0;
  #next = 0;

  constructor(perSecond: number) {
    this.#gapMs = 1000 / perSecond;
  }

  /** Ms from now; 0 for at once. */
  get delayMs(): number {
    return Math.max(0, Math.ceil(this.#next - Date.now()));
  }

  begin(): void {
    this.#next = Math.max(this.#next, Date.now() + this.#gapMs);
  }

  /** Whoever has just taken one has the processors for its first moment. */
  defer(): void {
    if (this.delayMs === 0) this.#next = Date.now() + this.#gapMs;
  }

  succeed(): void {
    this.#failures = 0;
  }

  fail(): void {
    const pause = Math.min(BACKOFF_MS.first * 2 ** this.#failures, BACKOFF_MS.most);
    this.#failures++;
    this.#next = Math.max(this.#next, Date.now() + pause);
  }
}
