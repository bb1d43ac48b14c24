import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type Flaw, Stock, type StockOptions } from '../../src/pool/stock.js';

const MAKE_MS = 100;

interface Member {
  id: number;
  born: number;
  flaw?: Flaw;
}

/** A maker in memory, whose members take a while; time is the test's. */
class Maker {
  readonly made: Member[] = [];
  readonly discarded: number[] = [];
  readonly errors: unknown[] = [];
  begun: number[] = [];
  failure: Error | undefined;
  elsewhere: Member[] = [];
  busy = 0;
  most = 0;

  open(options: Partial<StockOptions> = {}): Stock<Member> {
    const members = {
      make: (signal: AbortSignal) => this.#make(signal),
      inspect: ({ flaw }: Member) => flaw,
      getBirth: ({ born }: Member) => born,
      discard: async ({ id }: Member) => void this.discarded.push(id),
      adopt: async () => this.elsewhere.shift(),
    };
    const usual = { name: 'test', min: 2, max: 4, maxAgeMs: 60_000, refillConcurrency: 2, refillPerSecond: 1_000 };
    return new Stock(members, { ...usual, onError: (error) => this.errors.push(error), ...options });
  }

  async #make(signal: AbortSignal): Promise<Member> {
    this.begun.push(Date.now());
    this.most = Math.max(this.most, ++this.busy);
    await new Promise((resolve) => setTimeout(resolve, MAKE_MS));
    this.busy--;
    signal.throwIfAborted();
    if (this.failure !== undefined) throw this.failure;
    const member = { id: this.made.length + 1, born: Date.now() };
    this.made.push(member);
    return member;
  }
}

const patience = { waitMs: 10_000 };
const use = async (member: Member) => (member.flaw ? { flaw: member.flaw } : { taken: member });
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

let maker: Maker;
beforeEach(() => {
  vi.useFakeTimers();
  maker = new Maker();
});
afterEach(() => {
  vi.useRealTimers();
});

test('keeps min ready, hands the oldest out at once, and makes another', async () => {
  const stock = maker.open();
  await pass(1_000);
  expect(stock.read()).toMatchObject({ idle: 2, making: 0, made: 2 });
  expect(await stock.take(patience, use)).toMatchObject({ id: 1 });
  await pass(1_000);
  expect(stock.read()).toMatchObject({ idle: 2, hits: 1, misses: 0, made: 3, wait: { totalMs: 0 } });
  await stock.close();
  expect(maker.discarded).toEqual([2, 3]);
});

test('fifty takes at once have fifty members, of which max are made at once', async () => {
  const stock = maker.open();
  const taking = Promise.all(Array.from({ length: 50 }, () => stock.take(patience, use)));
  await pass(0);
  expect(stock.read()).toMatchObject({ waiting: 50, making: 4 });
  await pass(5_000);
  expect(new Set((await taking).map(({ id }) => id)).size).toBe(50);
  expect(maker.most).toBe(4);
  expect(stock.read()).toMatchObject({ idle: 2, waiting: 0, hits: 0, misses: 50, wait: { maxMs: expect.any(Number) } });
  expect(stock.read().wait.maxMs).toBeGreaterThan(MAKE_MS);
  await stock.close();
});

test('refills at a bounded rate', async () => {
  const stock = maker.open({ min: 4, refillConcurrency: 1, refillPerSecond: 2 });
  await pass(2_400);
  const gaps = maker.begun.slice(1).map((time, index) => time - (maker.begun[index] ?? 0));
  expect([maker.most, maker.begun.length, Math.min(...gaps) >= 500]).toEqual([1, 4, true]);
  await stock.close();
});

test('what is too old or has ended is removed, made anew and never handed out', async () => {
  const stock = maker.open();
  await pass(1_000);
  (maker.made[0] as Member).flaw = 'dead';
  expect(await stock.take(patience, use)).toMatchObject({ id: 2 });
  await pass(62_000);
  expect(stock.read()).toMatchObject({ idle: 2, hits: 1, dead: 1, aged: 2 });
  (maker.made.at(-1) as Member).flaw = 'lost';
  await pass(2_000);
  expect(stock.read()).toMatchObject({ idle: 2, lost: 1 });
  expect(maker.discarded).not.toContain(2);
  await stock.close();
  expect(new Set(maker.discarded).size).toBe(maker.made.length - 1);
});

test('one that its taker finds flawed is removed, and the next one has its turn', async () => {
  const stock = maker.open();
  await pass(1_000);
  const flawed = async (member: Member) => (member.id === 1 ? { flaw: 'dead' as const } : { taken: member });
  expect(await stock.take(patience, flawed)).toMatchObject({ id: 2 });
  await pass(1_000);
  await expect(stock.take(patience, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(stock.read()).toMatchObject({ hits: 1, dead: 1 });
  await stock.close();
  expect(maker.discarded).toContain(1);
  expect(maker.discarded).not.toContain(2);
});

test('a failing maker is not asked again and again, and its failure is the take’s', async () => {
  maker.failure = new Error('no image');
  const stock = maker.open();
  await pass(60_000);
  // 250, 500, 1000 ... of at most 30 s between.
  expect(maker.begun.length).toBeLessThan(12);
  expect(maker.errors.length).toBe(maker.begun.length);
  const before = maker.begun.length;
  const takes = [stock.take(patience, use), stock.take(patience, use)];
  const settled = Promise.allSettled(takes);
  await pass(2_000);
  expect(await settled).toMatchObject([{ reason: maker.failure }, { reason: maker.failure }]);
  expect(maker.begun.length - before).toBeLessThan(5);
  expect(stock.read()).toMatchObject({ idle: 0, lastError: maker.failure, failed: maker.begun.length });
  maker.failure = undefined;
  await pass(60_000);
  expect(stock.read()).toMatchObject({ idle: 2 });
  await stock.close();
});

test.each([
  ['a deadline', { waitMs: 50 }, 0, { code: 'deadline-exceeded', message: expect.stringContaining('in 50 ms') }],
  ['an abort', { ...patience, signal: AbortSignal.timeout(50) }, 0, { code: 'canceled' }],
  ['an abort before', { ...patience, signal: AbortSignal.abort() }, 0, { code: 'canceled' }],
])('%s ends a take that waits, and nothing is lost by it', async (_, given, min, error) => {
  const stock = maker.open({ min });
  const refused = expect(stock.take(given, use)).rejects.toMatchObject(error);
  await pass(50);
  await refused;
  await pass(1_000);
  expect(stock.read()).toMatchObject({ waiting: 0, idle: maker.made.length });
  await stock.close();
});

test('one of another process is taken before one is made', async () => {
  const stock = maker.open({ min: 0 });
  maker.elsewhere.push({ id: 77, born: 0 });
  expect(await stock.take(patience, use)).toMatchObject({ id: 77 });
  expect(stock.read()).toMatchObject({ adopted: 1, hits: 1, misses: 0, made: 0 });
  await stock.close();
});

test('closing rejects those who wait, ends what is being made and waits for what is handed out', async () => {
  const stock = maker.open({ max: 2 });
  await pass(1_000);
  let handOut: () => void = () => undefined;
  const slow = stock.take(patience, async (taken) => {
    await new Promise<void>((resolve) => {
      handOut = resolve;
    });
    return { taken };
  });
  const second = await stock.take(patience, use);
  const waiting = expect(stock.take(patience, use)).rejects.toMatchObject({ code: 'destroyed' });
  await pass(10);
  let isClosed = false;
  const closing = stock.close().then(() => {
    isClosed = true;
  });
  await waiting;
  await pass(1_000);
  expect(isClosed).toBe(false);
  handOut();
  await closing;
  expect(maker.discarded).toEqual([]);
  expect([await slow, second]).toMatchObject([{ id: 1 }, { id: 2 }]);
  await expect(stock.take(patience, use)).rejects.toMatchObject({ code: 'destroyed' });
  expect(maker.busy).toBe(0);
});

test('ready resolves when min are there and rejects with what keeps them from it', async () => {
  const stock = maker.open();
  const ready = stock.ready(patience);
  await pass(300);
  await ready;
  expect(stock.read().idle).toBe(2);
  await stock.close();
  maker.failure = new Error('no image');
  const broken = maker.open();
  const refused = expect(broken.ready(patience)).rejects.toBe(maker.failure);
  await pass(300);
  await refused;
  await broken.close();
});
