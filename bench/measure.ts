/** The phases of a run. In each round every peer has its turn, in an order that is shuffled anew. */
import { setTimeout as sleep } from 'node:timers/promises';
import { nameGrowth, type Readings } from './metrics.js';
import { LEAN, type PhaseName } from './options.js';
import type { Peer } from './peer.js';
import type { Plan } from './plan.js';
import type { Roster } from './roster.js';
import { createRandom, shuffle } from './stats.js';

interface ColdAnswer {
  create: number;
  exec: number;
  destroy: number;
  total: number;
}
interface WarmAnswer {
  ms: number[];
  period: number[];
}
interface RateAnswer {
  count: number;
  ms: number;
}
interface StreamAnswer {
  ms: number;
  cpuMs: number;
}
interface HoldAnswer {
  alive: number;
  rss: number;
  heap?: number;
  fds: number;
}

const WARM_UP_BYTES = 2 ** 26;

export class Course {
  readonly #peers: readonly Peer[];
  readonly #holders: Roster['holders'];
  readonly #plan: Plan;
  readonly #readings: Readings;
  readonly #signal: AbortSignal;
  readonly #tell: (text: string) => void;
  readonly #random = createRandom(Date.now());
  #lastEnd = performance.now();

  constructor(
    { peers, holders }: Pick<Roster, 'peers' | 'holders'>,
    plan: Plan,
    { readings, signal, tell }: { readings: Readings; signal: AbortSignal; tell: (text: string) => void },
  ) {
    this.#peers = peers;
    this.#holders = holders;
    this.#plan = plan;
    this.#readings = readings;
    this.#signal = signal;
    this.#tell = tell;
  }

  async run(phase: PhaseName): Promise<void> {
    const started = Date.now();
    await this[phase]();
    this.#tell(`${phase}: ${Math.round((Date.now() - started) / 1000)} s`);
  }

  async cold(): Promise<void> {
    const { rounds, gapMs } = this.#plan.cold;
    await this.#rotate(rounds, gapMs, async (peer, gap) => this.#noteCold(peer, await this.#ask(peer, 'cold'), gap));
  }

  async warm(): Promise<void> {
    const { warmBusy, warmIdle, warmRate } = this.#plan;
    await this.#withSessions(async (all) => {
      await this.#rotate(
        warmBusy.rounds,
        0,
        async (peer) => {
          const { ms, period } = await this.#ask<WarmAnswer>(peer, 'warm', warmBusy.burst);
          return () => {
            // What another peer left to be done falls into the first one.
            for (const value of ms.slice(1)) this.#readings.add('warm.busy', peer.name, value, 0);
            for (const value of period.slice(1)) this.#readings.add('warm.period', peer.name, value, 0);
          };
        },
        { peers: all },
      );
      await this.#rotate(
        warmIdle.rounds,
        warmIdle.gapMs,
        async (peer, gap) => {
          const { ms } = await this.#ask<WarmAnswer>(peer, 'warm', 1);
          return () => this.#readings.add('warm.idle', peer.name, ms[0] as number, gap);
        },
        { peers: all },
      );
      await this.#rotate(
        warmRate.rounds,
        0,
        async (peer, gap) => {
          const { count, ms } = await this.#ask<RateAnswer>(peer, 'execs', warmRate.width, warmRate.ms);
          return () => this.#readings.add('warm.rate', peer.name, count / (ms / 1000), gap);
        },
        { peers: all },
      );
    });
  }

  async stream(): Promise<void> {
    const { rounds, bytes, gapMs } = this.#plan.stream;
    await this.#withSessions(async (all) => {
      for (const [verb, key] of [
        ['streamOut', 'out'],
        ['streamRead', 'read'],
        ['streamIn', 'in'],
      ] as const) {
        // The Readable is a second way of ours alone, and no one's to be compared with.
        const peers = verb === 'streamRead' ? all.filter(({ name }) => name === 'ours') : all;
        for (const peer of peers) await this.#ask(peer, verb, WARM_UP_BYTES);
        const measure = async (peer: Peer, gap: number) => {
          const { ms, cpuMs } = await this.#ask<StreamAnswer>(peer, verb, bytes);
          return () => {
            this.#readings.add(`${key}.rate`, peer.name, bytes / 1e6 / (ms / 1000), gap);
            this.#readings.add(`${key}.cpu`, peer.name, (cpuMs / 1000) * (2 ** 30 / bytes), gap);
          };
        };
        await this.#rotate(rounds, gapMs, measure, { warmUp: false, peers });
      }
    });
  }

  async rate(): Promise<void> {
    const { rounds, gapMs, sessions } = this.#plan.rate;
    for (const [width, count] of Object.entries(sessions)) {
      const measure = async (peer: Peer, gap: number) => {
        const { ms } = await this.#ask<{ ms: number }>(peer, 'rate', Number(width), count);
        return () => this.#readings.add(`rate.${width}`, peer.name, count / (ms / 1000), gap);
      };
      for (const peer of this.#peers) await this.#ask(peer, 'rate', Number(width), Number(width));
      await this.#rotate(rounds, gapMs, measure, { warmUp: false });
    }
  }

  /**
   * Ours and the Go client hold sessions in turn, in a process that does nothing else. While ours does, cold sessions
   * of both are timed, so that both meet the same crowded host.
   */
  async hold(): Promise<void> {
    const { warmUp, alive, coldRounds, gapMs } = this.#plan.hold;
    const timed = this.#peers.filter(({ name }) => this.#holders.some((holder) => holder.name === name));
    for (const [index, { start }] of this.#holders.entries()) {
      const holder = await start();
      try {
        await this.#ask(holder, 'rate', 4, warmUp);
        for (const count of alive) {
          this.#signal.throwIfAborted();
          const state = await this.#ask<HoldAnswer>(holder, 'hold', count);
          this.#readings.holds.push({ peer: holder.name, ...state });
          if (index > 0) continue;
          const measure = async (peer: Peer, gap: number) => {
            const { total } = await this.#ask<ColdAnswer>(peer, 'cold');
            return () => this.#readings.add(nameGrowth(count), peer.name, total, gap);
          };
          await this.#rotate(coldRounds, gapMs, measure, { peers: timed });
        }
      } finally {
        await holder.stop();
      }
    }
  }

  #noteCold(peer: Peer, { create, exec, destroy, total }: ColdAnswer, gap: number): () => void {
    const values = { total, first: create + exec, create, exec, destroy };
    return () => {
      for (const [part, value] of Object.entries(values)) this.#readings.add(`cold.${part}`, peer.name, value, gap);
    };
  }

  /** `measure` returns what notes the sample: it is called for all but the first round, which only warms up. */
  async #rotate(
    rounds: number,
    gapMs: number,
    measure: (peer: Peer, gap: number) => Promise<() => void>,
    { warmUp = true, peers = this.#peers }: { warmUp?: boolean; peers?: readonly Peer[] } = {},
  ): Promise<void> {
    for (let round = warmUp ? -1 : 0; round < rounds; round++) {
      for (const peer of shuffle(peers, this.#random)) {
        this.#signal.throwIfAborted();
        const rest = this.#lastEnd + gapMs - performance.now();
        if (rest > 0) await sleep(rest);
        const gap = performance.now() - this.#lastEnd;
        const note = await measure(peer, gap);
        if (round >= 0) note();
      }
    }
  }

  async #ask<T>(peer: Peer, verb: string, ...numbers: readonly number[]): Promise<T> {
    try {
      return await peer.ask<T>(verb, ...numbers);
    } finally {
      this.#lastEnd = performance.now();
    }
  }

  async #withSessions(use: (peers: readonly Peer[]) => Promise<void>): Promise<void> {
    const peers = this.#peers.filter(({ name }) => !LEAN.includes(name));
    for (const peer of peers) await this.#ask(peer, 'open');
    await use(peers);
    for (const peer of peers) await this.#ask(peer, 'close');
  }
}
