import { describe, expect, test } from 'vitest';
import { Cleanup, withCleanup } from '../../src/core/cleanup.js';
import { addSuppressed, DriverError, formatValue } from '../../src/core/error.js';

describe('Cleanup', () => {
  test('undoes in reverse order, once', async () => {
    const log: string[] = [];
    const undo = new Cleanup();
    for (const name of ['a', 'b', 'c']) undo.defer(name, () => log.push(name));
    expect(undo.pending).toEqual(['c', 'b', 'a']);
    expect(await undo.run()).toBeUndefined();
    await undo.run();
    expect(log).toEqual(['c', 'b', 'a']);
  });

  test('stops at a step that fails, keeps what lies below it, and carries on later', async () => {
    const log: string[] = [];
    const undo = new Cleanup();
    let broken = true;
    undo.defer('record', () => log.push('record'));
    undo.defer('task', () => {
      if (broken) throw new Error('busy');
      log.push('task');
    });
    undo.defer('pipe', () => log.push('pipe'));
    expect(await undo.run()).toMatchObject({ step: 'task', pending: ['task', 'record'] });
    expect(log).toEqual(['pipe']);
    broken = false;
    expect(await undo.run()).toBeUndefined();
    expect(log).toEqual(['pipe', 'task', 'record']);
  });

  test('independent neighbours are undone at once; those that fail stay', async () => {
    const log: string[] = [];
    const undo = new Cleanup();
    let isBroken = true;
    const slow = (name: string) => async () => {
      log.push(`${name} begins`);
      await new Promise((resolve) => setTimeout(resolve, 5));
      if (isBroken && name === 'b') throw new Error('busy');
      log.push(name);
    };
    undo.defer('below', slow('below'));
    for (const name of ['a', 'b', 'c']) undo.defer(name, slow(name), { isIndependent: true });
    undo.defer('above', slow('above'));
    expect(await undo.run()).toMatchObject({ step: 'b', pending: ['b', 'below'] });
    expect(log).toEqual(['above begins', 'above', 'c begins', 'b begins', 'a begins', 'c', 'a']);
    isBroken = false;
    expect(await undo.run()).toBeUndefined();
    expect(log.slice(7)).toEqual(['b begins', 'b', 'below begins', 'below']);
  });

  test('concurrent runs share one', async () => {
    let count = 0;
    const undo = new Cleanup();
    undo.defer('slow', async () => {
      await new Promise((resolve) => setTimeout(resolve, 5));
      count++;
    });
    await Promise.all([undo.run(), undo.run(), undo.run()]);
    expect(count).toBe(1);
  });

  test('withCleanup undoes on every way out and keeps both failures', async () => {
    const log: string[] = [];
    const work = (outcome: () => string) =>
      withCleanup(async (undo) => {
        undo.defer('a', () => log.push('a'));
        return outcome();
      });
    expect(await work(() => 'done')).toBe('done');
    const failing = () => {
      throw new DriverError('not-found', 'no x');
    };
    await expect(work(failing)).rejects.toMatchObject({ code: 'not-found', suppressed: [] });
    expect(log).toEqual(['a', 'a']);
    const broken = withCleanup(async (undo) => {
      undo.defer('b', () => Promise.reject(new Error('busy')));
      return failing();
    });
    await expect(broken).rejects.toMatchObject({ code: 'not-found', suppressed: [new Error('busy')] });
  });

  test.each([
    ['already-exists', []],
    ['invalid-argument', []],
    ['unavailable', ['thing']],
    ['deadline-exceeded', ['thing']],
    ['unknown', ['thing']],
  ] as const)('acquire that fails with %s leaves %j to undo', async (code, pending) => {
    const undo = new Cleanup();
    const act = () => Promise.reject(new DriverError(code, 'no'));
    await expect(undo.acquire('thing', act, () => undefined)).rejects.toMatchObject({ code });
    expect(undo.pending).toEqual(pending);
  });
});

describe('errors', () => {
  test('a failed clean-up is kept beside the failure that made it necessary', () => {
    const first = new DriverError('not-found', 'no image x', { operation: 'get image' });
    const met = new Error('daemon away');
    expect(addSuppressed(first, [])).toBe(first);
    expect(addSuppressed(first, [met])).toMatchObject({
      code: 'not-found',
      message: 'no image x',
      operation: 'get image',
      cause: first,
      suppressed: [met],
    });
  });

  test.each([
    [{ a: 1n }, '{"a":"1"}'],
    [undefined, 'undefined'],
    [Number.NaN, 'NaN'],
    [
      Object.assign(Object.create(null), {
        toJSON: () => {
          throw new Error('no');
        },
      }),
      'a value that cannot be shown',
    ],
    ['x'.repeat(100), `"${'x'.repeat(76)}...`],
  ])('formats %o for a message', (value, text) => {
    expect(formatValue(value)).toBe(text);
  });
});
