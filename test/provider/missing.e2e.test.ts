import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { ContainerdProvider } from '../../src/index.js';
import { context } from '../support/context.js';
import { observe } from '../support/leaks.js';

const before = await observe(context);

/** Rejects in time, and nothing was created. */
async function expectRefusal(creating: () => Promise<unknown>, expected: object): Promise<void> {
  const started = Date.now();
  await expect(creating()).rejects.toMatchObject(expected);
  expect(Date.now() - started).toBeLessThan(2_000);
  expect(await observe(context)).toEqual(before);
}

describe('a socket that is none of containerd', () => {
  const place = (name: string) => join(context.root, name);
  const server = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n', () => socket.destroy()));
  afterAll(() => new Promise((resolve) => server.close(resolve)));
  const prepare: Record<string, (path: string) => unknown> = {
    absent: () => undefined,
    file: (path) => writeFileSync(path, ''),
    // Under another name than its server knows, the socket outlives it, as that of a daemon which was killed does.
    deserted: async (path) => {
      const gone = createServer();
      await new Promise<void>((resolve) => gone.listen(`${path}.made`, resolve));
      renameSync(`${path}.made`, path);
      await new Promise((resolve) => gone.close(resolve));
    },
    other: (path) => new Promise<void>((resolve) => server.listen(path, resolve)),
  };

  test.each(Object.keys(prepare))('%s', async (kind) => {
    const address = place(`${kind}.sock`);
    await prepare[kind]?.(address);
    const { images, namespace } = context;
    const provider = new ContainerdProvider({ image: images.reference, address, namespace });
    await expectRefusal(() => provider.createSession(), {
      code: 'unavailable',
      message: expect.stringContaining(`no containerd answers at ${address}`),
      remedy: 'start containerd, or name its socket with CONTAINERD_ADDRESS',
    });
    const { healthy, message } = await provider.healthCheck();
    expect({ healthy, message }).toEqual({ healthy: false, message: expect.stringContaining(address) });
    await provider.close();
    rmSync(address, { force: true });
  });
});
