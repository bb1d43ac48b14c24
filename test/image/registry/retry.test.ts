import { expect, test } from 'vitest';
import { DriverError } from '../../../src/core/error.js';
import { Attempts, parseRetryAfter, retry, TransientFailure } from '../../../src/image/registry/retry.js';

const failure = new DriverError('unavailable', 'away');
const transient = () => new TransientFailure(failure);

test.each([
  [undefined, undefined],
  ['0', 0],
  ['120', 120_000],
  ['Fri, 02 Jan 1970 00:00:10 GMT', 10_000],
  ['Thu, 01 Jan 1970 00:00:00 GMT', 0],
  ['soon', undefined],
])('Retry-After: %s', (value, ms) => {
  expect(parseRetryAfter(value, 86_400_000)).toBe(ms);
});

test('what may pass is tried so often, what may not never again', async () => {
  for (const [error, attempts] of [
    [transient(), 3],
    [failure, 1],
  ] as const) {
    let calls = 0;
    const trying = retry(
      async () => {
        calls += 1;
        throw error;
      },
      { retries: 2, signal: undefined },
    );
    await expect(trying).rejects.toBe(failure);
    expect(calls).toBe(attempts);
  }
});

test('after progress the count begins anew; a longer pause than is borne is final; a pause can be canceled', async () => {
  const attempts = new Attempts({ retries: 1, signal: undefined });
  for (let i = 0; i < 3; i += 1) {
    await attempts.bear(transient());
    attempts.reset();
  }
  await attempts.bear(transient());
  await expect(attempts.bear(transient())).rejects.toBe(failure);
  const patient = new Attempts({ retries: 9, signal: AbortSignal.abort() });
  await expect(patient.bear(new TransientFailure(failure, 3_600_000))).rejects.toBe(failure);
  await expect(patient.bear(transient())).rejects.toMatchObject({ code: 'canceled' });
});
