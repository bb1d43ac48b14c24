/** Lets a bounded number of pieces of work run at once; the rest wait their turn, first come first served. */
export class Gate {
  readonly #width: number;
  readonly #waiting: (() => void)[] = [];
  #inside = 0;

  constructor(width: number) {
    this.#width = width;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    // Whoever leaves hands its place over, so that no newcomer slips in between.
    if (this.#inside < this.#width) this.#inside++;
    else await new Promise<void>((enter) => this.#waiting.push(enter));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#inside--;
      else next();
    }
  }
}

/** A gate for each key, for as long as someone is inside or waits. */
export class KeyedGate {
  readonly #width: number;
  readonly #gates = new Map<string, { gate: Gate; users: number }>();

  constructor(width: number) {
    this.#width = width;
  }

  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    const entry = this.#gates.get(key) ?? { gate: new Gate(this.#width), users: 0 };
    this.#gates.set(key, entry);
    entry.users++;
    try {
      return await entry.gate.run(work);
    } finally {
      if (--entry.users === 0) this.#gates.delete(key);
    }
  }
}
