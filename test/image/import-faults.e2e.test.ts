import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { listImages } from '../../src/image/image.js';
import { importArchive } from '../../src/image/import.js';
import { Channel } from '../../src/rpc/channel.js';
import { observeApi } from '../support/api-state.js';
import { buildOciLayout } from '../support/busybox.js';
import { context } from '../support/context.js';
import { dockerArchive, stream } from './archives.js';
import { badDockerArchives, badTars } from './bad-docker-archives.js';
import { badOciLayouts } from './bad-oci-layouts.js';
import { EMPTY_STATE, expectNothingStays } from './store.js';

const channel = new Channel(context);
const directory = mkdtempSync(join(tmpdir(), 'cadre-faults-'));
const file = join(directory, 'image.tar');
afterAll(() => {
  channel.close();
  rmSync(directory, { recursive: true });
});

describe.each([
  ['tar', badTars],
  ['docker-archive', badDockerArchives],
  ['OCI layout', badOciLayouts],
])('%s', (_, archives) => {
  test.each(Object.entries(archives))('%s', async (_, [archive, code, ...says]) => {
    writeFileSync(file, archive);
    const error = await catchFailure(importArchive(channel, file));
    // Before anything else, and without a collection of ours: nothing stays.
    expect(await observeApi(context)).toEqual(EMPTY_STATE);
    expect(error).toMatchObject({ name: 'DriverError', code });
    const { message } = error as Error;
    for (const text of [file, ...says]) expect(message).toContain(text);
    expect(message).not.toContain('\n');
  });
});

test('a file that is not there', async () => {
  await expect(importArchive(channel, join(directory, 'none.tar'))).rejects.toMatchObject({ code: 'not-found' });
  expect(await observeApi(context)).toEqual(EMPTY_STATE);
});

describe('canceled', () => {
  afterEach(() => expectNothingStays(channel));

  test('before it begins', async () => {
    const importing = importArchive(channel, stream(dockerArchive()), { signal: AbortSignal.abort() });
    await expect(importing).rejects.toMatchObject({ code: 'canceled' });
    expect(await observeApi(context)).toEqual(EMPTY_STATE);
  });

  test('at any moment: nothing stays, and the next import succeeds', async () => {
    const archive = buildOciLayout({ layers: 2, files: [{ path: 'more', data: Buffer.alloc(2_000_000) }] });
    let canceled = 0;
    for (let ms = 1; ; ms = Math.ceil(ms * 1.2)) {
      const failure = await catchFailure(importArchive(channel, stream(archive), { signal: AbortSignal.timeout(ms) }));
      if (failure === undefined) break;
      expect(failure).toMatchObject({ code: 'canceled' });
      expect(await observeApi(context)).toEqual(EMPTY_STATE);
      canceled += 1;
    }
    expect(canceled).toBeGreaterThan(3);
    expect(await listImages(channel)).toHaveLength(1);
  });
});

function catchFailure(attempt: Promise<unknown>): Promise<unknown> {
  return attempt.then(
    () => undefined,
    (error: unknown) => error,
  );
}
