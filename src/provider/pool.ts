import { randomBytes } from 'node:crypto';
import { hasCode } from '../core/error.js';
import { listGivenSecrets } from '../policy/redact.js';
import type { PoolStats } from '../pool/stats.js';
import { Stock } from '../pool/stock.js';
import type { Auditor } from '../session/audit/auditor.js';
import type { SessionContext } from '../session/context.js';
import type { CreateRequest } from '../session/create.js';
import {
  claimIdle,
  discardIdle,
  type Handover,
  handOver,
  type IdleSession,
  inspectIdle,
  makeIdle,
} from '../session/pool/idle.js';
import { withName } from '../session/pool/name.js';
import { adoptIdle } from '../session/pool/share.js';
import type { Session } from '../session/session.js';
import { type AskedOptions, parseCreateOptions } from './create-options.js';
import type { ResolvedOptions } from './options.js';
import { nameSession } from './plan.js';
import { type PoolOptions, resolvePool, type TakeOptions } from './pool-options.js';
import { type KeyedPool, keyPool, planTake } from './pool-take.js';

/** What a pool has of its provider. */
export interface PoolHost {
  options: ResolvedOptions;
  audit: Auditor;
  /** Throws as `createSession` does for what cannot be honoured here. */
  check(asked: AskedOptions): void;
  connect(): Promise<{ context: SessionContext; uuid: string }>;
  /** Everything that the creation of a session which nobody has yet needs. */
  prepare(given: object): Promise<{ context: SessionContext; request: CreateRequest }>;
  /** Called when nothing is left of it. */
  forget(pool: SessionPool): void;
}

/** Of one that may have been left to the reapers, beyond the age at which it is removed here, in ms. */
const GRACE_MS = 300_000;

/**
 * Sessions that are made ahead. Each is handed out once and never comes back: what it becomes is its taker's to destroy.
 * Those that nobody took are destroyed with the pool, and by any reaper when this process ends.
 */
export class SessionPool implements AsyncDisposable {
  /** Of the option, or random. */
  readonly name: string;
  readonly #host: PoolHost;
  readonly #options: KeyedPool;
  readonly #stock: Stock<IdleSession>;
  /** Of the sessions that are made next, where they share one. */
  #shim = { group: '', places: 0 };
  /** Known as soon as there is a member. */
  #context: SessionContext | undefined;

  /** @internal */
  constructor(given: PoolOptions, host: PoolHost) {
    const resolved = resolvePool(given, host.options);
    const asked = parseCreateOptions(resolved.common, host.options.base);
    host.check(asked);
    this.name = resolved.name;
    this.#host = host;
    this.#options = { ...resolved, ...keyPool(asked, host.options) };
    const members = {
      make: (signal: AbortSignal) => this.#make(signal),
      inspect: (member: IdleSession) => (this.#context === undefined ? undefined : inspectIdle(this.#context, member)),
      getBirth: ({ record }: IdleSession) => record.createdAt.getTime(),
      discard: async (member: IdleSession) => discardIdle((await this.#host.connect()).context, member),
      // A random name is nobody else's.
      ...(given.name === undefined ? {} : { adopt: () => this.#adopt() }),
    };
    this.#stock = new Stock(members, resolved);
  }

  /**
   * A session that is nobody else's, in about a millisecond where one is ready; otherwise it waits for one to be made, and
   * rejects with what keeps it from that. What cannot be given to a session that runs is refused by name:
   * `CapabilityMismatchError`. Throws `already-exists` for a name that is taken, `deadline-exceeded` after `waitMs`,
   * `canceled` for a signal, and `destroyed` where the pool is closed.
   */
  async take(options: TakeOptions = {}): Promise<Session> {
    const plan = () => planTake(options, this.#options, this.#host.options);
    const handover = await this.#host.audit.watch('take', plan, () => listGivenSecrets(options));
    const take = () => this.#stock.take({ waitMs, signal }, (member) => this.#hand(member, handover));
    const { waitMs = this.#options.waitMs, signal } = options;
    const { name } = handover.change;
    if (name === undefined) return take();
    const { context, uuid } = await this.#host.connect();
    return withName(context, { id: nameSession(name, uuid), name }, take);
  }

  /** How many there are now, and what became of all others. */
  stats(): PoolStats {
    return this.#stock.read();
  }

  /** Resolves when `min` sessions are ready; rejects when one cannot be made, and as `take` does. */
  ready({ waitMs = this.#options.waitMs, signal }: { waitMs?: number; signal?: AbortSignal } = {}): Promise<void> {
    return this.#stock.ready({ waitMs, signal });
  }

  /**
   * Destroys the sessions that nobody took, those too that are being made, and rejects takes that wait. Throws `unavailable`
   * when something is left, which the reaper then removes.
   */
  async close(): Promise<void> {
    await this.#stock.close();
    this.#host.forget(this);
  }

  /** The same as `close`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #make(signal: AbortSignal): Promise<IdleSession> {
    const { name, key, common, maxAgeMs, shimWidth } = this.#options;
    const shared = shimWidth === undefined ? {} : { shimGroup: this.#nameShimGroup(shimWidth) };
    const { context, request } = await this.#host.prepare({ ...common, ...shared, signal });
    this.#context = context;
    const expiresAt = new Date(request.record.createdAt.getTime() + maxAgeMs + GRACE_MS);
    return makeIdle(context, { ...request, record: { ...request.record, expiresAt, pool: { name, key } } });
  }

  /** So many in a row, whatever became of the first by then: no shim ever serves more. */
  #nameShimGroup(width: number): string {
    if (this.#shim.places === 0) {
      this.#shim = { group: `${this.name}-${randomBytes(6).toString('hex')}`, places: width };
    }
    this.#shim.places--;
    return this.#shim.group;
  }

  async #adopt(): Promise<IdleSession | undefined> {
    const { context } = await this.#host.connect();
    const { name, key } = this.#options;
    return adoptIdle(context, { name, key });
  }

  async #hand(member: IdleSession, handover: Handover): Promise<{ taken: Session } | { flaw: 'dead' | 'lost' }> {
    const { context } = await this.#host.connect();
    if (!member.isClaimed && !claimIdle(context, member)) return { flaw: 'lost' };
    try {
      return { taken: await handOver(context, member, handover) };
    } catch (error) {
      if (hasCode(error, 'not-found')) return { flaw: 'dead' };
      throw error;
    }
  }
}
