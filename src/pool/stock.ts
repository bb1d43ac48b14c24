import { DriverError } from '../core/error.js';
import { Pace } from './pace.js';
import { describeAbort, Queue } from './queue.js';
import { type PoolStats, startStats } from './stats.js';

/** Why a member is not handed out: it has ended, or another process has it. */
export type Flaw = 'dead' | 'lost';

/** What members are to a pool. */
export interface Members<M> {
  /** An abort undoes what was made. */
  make(signal: AbortSignal): Promise<M>;
  /** Looks at once, and asks nobody. */
  inspect(member: M): Flaw | undefined;
  /** Since when it is there, in ms of the clock. */
  getBirth(member: M): number;
  /** Removes it. */
  discard(member: M): Promise<void>;
  /** One that somebody else has made. */
  adopt?(): Promise<M | undefined>;
}

export interface StockOptions {
  /** Told in messages. */
  name: string;
  /** Kept ready. */
  min: number;
  /** There at once, ready or being made. */
  max: number;
  maxAgeMs: number;
  /** Made ahead at once. */
  refillConcurrency: number;
  refillPerSecond: number;
  /** Told of what nobody waits for. */
  onError?: ((error: unknown) => void) | undefined;
}

interface Patience {
  waitMs: number;
  signal?: AbortSignal | undefined;
}

type Outcome<T> = { taken: T } | { flaw: Flaw };
type Use<M, T> = (member: M) => Promise<Outcome<T>>;

const SWEEP_MS = 1_000;

/** Members made ahead, each of which is handed out once. Knows nothing of what they are. */
export class Stock<M> {
  readonly #members: Members<M>;
  readonly #options: StockOptions;
  readonly #stats = startStats();
  readonly #queue = new Queue<M>();
  /** Those who wait until it is full. */
  readonly #watchers = new Queue<void>();
  readonly #pace: Pace;
  readonly #closing = new AbortController();
  readonly #making = new Set<Promise<void>>();
  readonly #using = new Set<Promise<unknown>>();
  readonly #leaving = new Set<Promise<void>>();
  readonly #sweeper: NodeJS.Timeout;
  #idle: M[] = [];
  #refilling = 0;
  #refill: NodeJS.Timeout | undefined;
  #closed: Promise<void> | undefined;

  constructor(members: Members<M>, options: StockOptions) {
    this.#members = members;
    this.#options = options;
    this.#pace = new Pace(options.refillPerSecond);
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS).unref();
    this.#fill();
  }

  read(): PoolStats {
    const now = { idle: this.#idle.length, making: this.#making.size, waiting: this.#queue.length };
    return { ...this.#stats, wait: { ...this.#stats.wait }, ...now };
  }

  /**
   * Hands one member to `use`. One that `use` finds flawed is removed, and the next one has its turn; one that `use`
   * fails with is removed as well, and the failure is the caller's.
   */
  async take<T>(patience: Patience, use: Use<M, T>): Promise<T> {
    const started = performance.now();
    let isHit = true;
    let waitedMs = 0;
    for (;;) {
      this.#assertOpen(patience.signal);
      const waitMs = Math.max(0, patience.waitMs - (performance.now() - started));
      const drawing = performance.now();
      const ready = this.#pop() ?? (await this.#adopt());
      isHit &&= ready !== undefined;
      const member = ready ?? (await this.#wait({ ...patience, waitMs }));
      if (!isHit) waitedMs += performance.now() - drawing;
      const outcome = await this.#use(member, use);
      if ('flaw' in outcome) continue;
      this.#count(isHit, waitedMs);
      return outcome.taken;
    }
  }

  /** Resolves when as many are ready as are to be; rejects when one of them cannot be made. */
  async ready(patience: Patience): Promise<void> {
    this.#assertOpen(patience.signal);
    if (!this.#isFull) await this.#watchers.wait(patience, () => this.#describeWait());
  }

  /** Makes no more, removes what is idle, and rejects those who wait. Rejects when something could not be removed. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    clearInterval(this.#sweeper);
    clearTimeout(this.#refill);
    const stuck = this.#stats.stuck;
    const reason = this.#describeClosed();
    this.#closing.abort(reason);
    this.#queue.failAll(reason);
    this.#watchers.failAll(reason);
    for (const member of this.#idle.splice(0)) this.#discard(member);
    // What is being handed out is a session of its taker when this resolves.
    await Promise.allSettled(this.#using);
    await Promise.all(this.#making);
    await Promise.all(this.#leaving);
    const left = this.#stats.stuck - stuck;
    if (left === 0) return;
    throw new DriverError('unavailable', `${left} sessions of pool ${this.#options.name} could not be destroyed`, {
      operation: 'close pool',
      cause: this.#stats.lastError,
    });
  }

  #pop(): M | undefined {
    for (;;) {
      const member = this.#idle.shift();
      const flaw = member === undefined ? undefined : this.#judge(member);
      if (member === undefined || flaw === undefined) return member;
      this.#drop(member, flaw);
    }
  }

  async #adopt(): Promise<M | undefined> {
    const member = await this.#members.adopt?.();
    if (member !== undefined) this.#stats.adopted++;
    return member;
  }

  #wait(patience: Patience): Promise<M> {
    this.#assertOpen(patience.signal);
    const member = this.#queue.wait(patience, () => this.#describeWait());
    this.#fill();
    return member;
  }

  #describeWait(): string {
    const { name, max } = this.#options;
    const { idle, making, waiting } = this.read();
    return `pool ${name} has too few sessions (${idle} idle, ${making} of at most ${max} being made, ${waiting} waited for)`;
  }

  async #use<T>(member: M, use: Use<M, T>): Promise<Outcome<T>> {
    const using = use(member);
    this.#using.add(using);
    try {
      const outcome = await using;
      if ('flaw' in outcome) this.#drop(member, outcome.flaw);
      return outcome;
    } catch (error) {
      this.#discard(member);
      throw error;
    } finally {
      this.#using.delete(using);
      this.#pace.defer();
      this.#fill();
    }
  }

  get #isFull(): boolean {
    return this.#idle.length >= this.#options.min;
  }

  #count(isHit: boolean, waitedMs: number): void {
    const { wait } = this.#stats;
    this.#stats[isHit ? 'hits' : 'misses']++;
    wait.totalMs += waitedMs;
    wait.maxMs = Math.max(wait.maxMs, waitedMs);
  }

  /** Makes what someone waits for at once, and the rest at its pace. */
  #fill(): void {
    if (this.#closed !== undefined) return;
    const { min, max, refillConcurrency } = this.#options;
    const hasRoom = () => this.#idle.length + this.#making.size < max;
    while (this.#making.size < this.#queue.length && hasRoom()) this.#make();
    const isShort = () => this.#idle.length + this.#making.size - this.#queue.length < min;
    while (isShort() && hasRoom() && this.#refilling < refillConcurrency && this.#pace.delayMs === 0) {
      this.#pace.begin();
      this.#make({ isRefill: true });
    }
    clearTimeout(this.#refill);
    if (isShort() && this.#pace.delayMs > 0) {
      this.#refill = setTimeout(() => this.#fill(), this.#pace.delayMs).unref();
    }
  }

  #make({ isRefill = false } = {}): void {
    if (isRefill) this.#refilling++;
    const made = this.#members.make(this.#closing.signal).then(
      (member) => () => {
        this.#stats.made++;
        this.#pace.succeed();
        this.#put(member);
      },
      (error: unknown) => () => this.#fail(error),
    );
    const making = made.then((conclude) => {
      this.#making.delete(making);
      if (isRefill) this.#refilling--;
      conclude();
      this.#fill();
    });
    this.#making.add(making);
  }

  #put(member: M): void {
    if (this.#closed !== undefined) this.#discard(member);
    else if (!this.#queue.give(member)) this.#idle.push(member);
    while (this.#isFull && this.#watchers.give(undefined));
  }

  #fail(error: unknown): void {
    // Whoever closes has ended it.
    if (this.#closed !== undefined) return;
    this.#stats.failed++;
    this.#pace.fail();
    this.#note(error);
    this.#queue.fail(error);
    this.#watchers.failAll(error);
  }

  #sweep(): void {
    for (const member of [...this.#idle]) {
      const flaw = this.#judge(member);
      if (flaw === undefined) continue;
      this.#idle = this.#idle.filter((other) => other !== member);
      this.#drop(member, flaw);
    }
    this.#fill();
  }

  #judge(member: M): Flaw | 'aged' | undefined {
    if (Date.now() - this.#members.getBirth(member) >= this.#options.maxAgeMs) return 'aged';
    return this.#members.inspect(member);
  }

  #drop(member: M, flaw: Flaw | 'aged'): void {
    this.#stats[flaw]++;
    this.#discard(member);
  }

  #discard(member: M): void {
    const leaving = this.#members.discard(member).then(
      () => undefined,
      (error: unknown) => {
        this.#stats.stuck++;
        this.#note(error);
      },
    );
    this.#leaving.add(leaving);
    void leaving.finally(() => this.#leaving.delete(leaving));
  }

  #note(error: unknown): void {
    this.#stats.lastError = error;
    // What the caller's function throws is the caller's.
    if (this.#options.onError !== undefined) process.nextTick(this.#options.onError, error);
  }

  #assertOpen(signal: AbortSignal | undefined): void {
    if (this.#closed !== undefined) throw this.#describeClosed();
    if (signal?.aborted) throw describeAbort(signal);
  }

  #describeClosed(): DriverError {
    return new DriverError('destroyed', `pool ${this.#options.name} is closed`, { operation: 'take' });
  }
}
