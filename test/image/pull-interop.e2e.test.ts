/** What ctr brings we start, what we pull ctr starts: it is containerd's own client, and used in tests only. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { removeImage } from '../../src/image/image.js';
import { Channel } from '../../src/rpc/channel.js';
import { collectGarbage, observeApi } from '../support/api-state.js';
import { buildOciLayout } from '../support/busybox.js';
import { findContainerd } from '../support/containerd-binary.js';
import { context } from '../support/context.js';
import { openProvider } from '../support/provider.js';
import { startRegistry, type TestRegistry } from '../support/registry.js';
import { stream } from './archives.js';

const channel = new Channel(context);
const provider = await openProvider({ registry: { dockerConfig: '/none/config.json' } });
const directory = mkdtempSync(join(tmpdir(), 'cadre-interop-'));
const archive = buildOciLayout({ layers: 2, files: [{ path: 'greeting', data: 'hello' }] });
let registry: TestRegistry;
let reference: string;
beforeAll(async () => {
  registry = await startRegistry();
  reference = `${registry.host}/team/busybox:1`;
  await provider.importImage(stream(archive), { reference });
  await provider.images.push(reference);
  await provider.images.remove(reference, { sync: true });
});
afterAll(async () => {
  await registry.stop();
  channel.close();
  rmSync(directory, { recursive: true });
});
afterEach(async () => {
  await removeImage(channel, reference, { sync: true });
  const { images, content } = await observeApi(context);
  expect(images).toEqual([context.images.reference]);
  expect(content.length).toBeLessThan(4);
});

function ctr(...args: string[]): string {
  const { directory: bin } = findContainerd(context.generation);
  const { address, namespace } = context;
  return execFileSync(join(bin, 'ctr'), ['-a', address, '-n', namespace, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function expectToRun(): Promise<void> {
  await using session = await provider.createSession({ image: reference, pull: 'never' });
  expect((await session.exec('cat', ['/greeting'])).stdout).toBe('hello');
}

test('ctr runs what we pulled, finds it whole, and has nothing left to pull', async () => {
  await provider.pull(reference);
  await collectGarbage(context);
  expect(ctr('images', 'check', `name==${reference}`)).toMatch(/complete \(3\/3\).*true/);
  expect(ctr('run', '--rm', reference, `interop-${context.namespace}`, 'cat', '/greeting')).toBe('hello');
  const before = await observeApi(context);
  ctr('images', 'pull', '--plain-http', reference);
  await collectGarbage(context);
  expect(await observeApi(context)).toEqual(before);
});

describe('we start', () => {
  test('what ctr imported', async () => {
    const path = join(directory, 'image.tar');
    writeFileSync(path, buildOciLayout({ reference, layers: 2, files: [{ path: 'greeting', data: 'hello' }] }));
    ctr('images', 'import', path);
    await collectGarbage(context);
    await expectToRun();
  });

  test('what ctr pulled, and pull it again without a byte', async () => {
    ctr('images', 'pull', '--plain-http', reference);
    await collectGarbage(context);
    await expectToRun();
    await provider.pull(reference);
    await collectGarbage(context);
    await expectToRun();
  });
});
