/** How much is measured. A round takes every peer once, in an order that is shuffled for each. */
export interface Plan {
  readonly cold: { readonly rounds: number; readonly gapMs: number };
  readonly warmIdle: { readonly rounds: number; readonly gapMs: number };
  /** The first exec of a burst follows another peer's and is not counted. */
  readonly warmBusy: { readonly rounds: number; readonly burst: number };
  /** In one session. */
  readonly warmRate: { readonly rounds: number; readonly width: number; readonly ms: number };
  readonly stream: { readonly rounds: number; readonly bytes: number; readonly gapMs: number };
  readonly rate: {
    readonly rounds: number;
    readonly gapMs: number;
    /** Sessions of a sample, for each number that run at once. */
    readonly sessions: Readonly<Record<number, number>>;
  };
  readonly hold: {
    /** Sessions made before: code is compiled and pools are filled by then. */
    readonly warmUp: number;
    readonly alive: readonly number[];
    readonly coldRounds: number;
    readonly gapMs: number;
  };
}

const GIB = 2 ** 30;

export const FULL: Plan = {
  cold: { rounds: 40, gapMs: 100 },
  warmIdle: { rounds: 40, gapMs: 400 },
  warmBusy: { rounds: 20, burst: 6 },
  warmRate: { rounds: 5, width: 16, ms: 2000 },
  stream: { rounds: 5, bytes: GIB, gapMs: 100 },
  rate: { rounds: 5, gapMs: 100, sessions: { 1: 8, 4: 16, 16: 32 } },
  hold: { warmUp: 100, alive: [0, 10, 100, 300], coldRounds: 10, gapMs: 100 },
};

export const QUICK: Plan = {
  cold: { rounds: 10, gapMs: 100 },
  warmIdle: { rounds: 8, gapMs: 400 },
  warmBusy: { rounds: 5, burst: 6 },
  warmRate: { rounds: 3, width: 16, ms: 1000 },
  stream: { rounds: 1, bytes: GIB, gapMs: 100 },
  rate: { rounds: 1, gapMs: 100, sessions: { 1: 6, 4: 12, 16: 32 } },
  hold: { warmUp: 40, alive: [0, 10, 50], coldRounds: 4, gapMs: 100 },
};
