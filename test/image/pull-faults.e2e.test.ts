import { createServer } from 'node:http';
import { inspect } from 'node:util';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  WriteAction,
  WriteContentRequest,
} from '../../src/generated/github.com/containerd/containerd/api/services/content/v1/content.js';
import { listImages } from '../../src/image/image.js';
import { pullImage } from '../../src/image/pull.js';
import type { PullOptions } from '../../src/image/pull-options.js';
import { Channel } from '../../src/rpc/channel.js';
import type { Duplex } from '../../src/rpc/stream.js';
import { collectGarbage, observeApi } from '../support/api-state.js';
import { context, onlyOn } from '../support/context.js';
import { type Fault, type FaultProxy, type SeenRequest, startFaultProxy } from '../support/fault-proxy.js';
import { startRegistry, type TestRegistry } from '../support/registry.js';
import { packTar } from '../support/tar.js';
import { image, layer, OCI, type TestBlob, targetOf } from './archives.js';
import { publish } from './publish.js';
import { EMPTY_STATE, expectNothingStays } from './store.js';

const MIB = 1024 * 1024;
const channel = new Channel(context);
let registry: TestRegistry;
let proxy: FaultProxy;
beforeAll(async () => {
  registry = await startRegistry();
  proxy = await startFaultProxy(registry.host);
});
afterAll(async () => {
  await proxy.stop();
  await registry.stop();
  channel.close();
});
beforeEach(() => proxy.reset());
afterEach(() => expectNothingStays(channel));

/** Random-looking, so that no compression on the way makes it small. */
function noise(bytes: number, seed = 1): Buffer {
  const data = Buffer.alloc(bytes);
  for (let i = 0, x = seed; i < bytes; i += 4) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    data.writeUInt32LE(x, i);
  }
  return data;
}

const large = packTar([{ path: 'large', data: noise(12 * MIB) }]);
const app = image({ layers: [layer('one'), large] });
const largeDigest = app[1]?.descriptor.digest ?? '';
const isLarge = ({ url }: SeenRequest) => url.includes(`/blobs/${largeDigest}`);
const isManifest = ({ url }: SeenRequest) => url.includes('/manifests/');
const options: PullOptions = { registry: { retries: 1 } };
/** Of a registry that is slow; a busy machine makes any other just as slow. */
const impatient: PullOptions = { registry: { retries: 1, stallTimeoutMs: 400 } };

async function publishApp(blobs: TestBlob[] = app): Promise<string> {
  const name = `team/app:${Math.floor(Math.random() * 1e9)}`;
  await publish(`${registry.host}/${name}`, blobs);
  return `${proxy.host}/${name}`;
}

/** Rejects as it must, leaves nothing but what a next pull goes on with, and that one succeeds. */
async function expectFailure(reference: string, expected: object, given: PullOptions = options): Promise<unknown> {
  const error = await pullImage(channel, reference, given).then(
    () => undefined,
    (failure: unknown) => failure,
  );
  const { ingests, ...rest } = await observeApi(context);
  expect({ ...rest, ingests: [] }).toEqual(EMPTY_STATE);
  expect(error).toMatchObject({ name: 'DriverError', ...expected });
  expect((error as Error).message).not.toContain('\n');
  return error;
}

async function expectSuccess(reference: string, given: PullOptions = options): Promise<void> {
  const pulled = await pullImage(channel, reference, given);
  expect(pulled.target.digest).toBe(targetOf(app).descriptor.digest);
  await collectGarbage(context);
  expect((await observeApi(context)).content).toHaveLength(app.length);
  expect((await observeApi(context)).ingests).toEqual([]);
}

function containing(text: string): { message: string } {
  return { message: expect.stringContaining(text) as string };
}

const sameForAll = onlyOn(['1.6'], 'what the registry does, before anything reaches the daemon');

sameForAll('a registry that refuses', () => {
  const answers: [string, Fault['answer'], object][] = [
    ['401 without a challenge', { status: 401 }, { code: 'permission-denied', ...containing('answers 401') }],
    [
      '401 that wants a password',
      { status: 401, headers: { 'www-authenticate': 'Basic realm="r"' } },
      { code: 'permission-denied', ...containing('none are configured') },
    ],
    [
      '403',
      { status: 403, body: '{"errors":[{"code":"DENIED"}]}' },
      { code: 'permission-denied', ...containing('403 (DENIED)') },
    ],
    [
      '404',
      { status: 404, body: '{"errors":[{"code":"MANIFEST_UNKNOWN"}]}' },
      { code: 'not-found', ...containing('404 (MANIFEST_UNKNOWN)') },
    ],
    ['429', { status: 429, headers: { 'retry-after': '0' } }, { code: 'unavailable', ...containing('answers 429') }],
    ['429 for longer than anyone waits', { status: 429, headers: { 'retry-after': '3600' } }, { code: 'unavailable' }],
    ['500', { status: 500 }, { code: 'unavailable', ...containing('answers 500') }],
    [
      'a page of HTML',
      { status: 200, body: '<html>', headers: { 'content-type': 'text/html' } },
      { code: 'invalid-argument', ...containing('is not JSON') },
    ],
    [
      'a redirect without end',
      { status: 307, headers: { location: '/v2/again' } },
      { code: 'failed-precondition', ...containing('redirects more than 10 times') },
    ],
    [
      'a redirect out of TLS',
      { status: 307, headers: { location: 'http://registry.test/x' } },
      { code: 'failed-precondition', ...containing('not reached over TLS') },
    ],
  ];
  test.each(answers)('%s', async (_, answer, expected) => {
    const reference = await publishApp();
    if (answer === undefined) throw new Error('no answer');
    proxy.fault = () => ({ answer });
    await expectFailure(reference, expected);
    expect(proxy.seen.length).toBeLessThan(20);
    proxy.reset();
    await expectSuccess(reference);
  });

  test.each([429, 503])('%i twice, on every path, is waited out', async (status) => {
    const reference = await publishApp();
    const counts = new Map<string, number>();
    proxy.fault = ({ url }) => {
      const count = (counts.get(url) ?? 0) + 1;
      counts.set(url, count);
      return count <= 2 ? { answer: { status, headers: { 'retry-after': '0' } } } : undefined;
    };
    await expectSuccess(reference, { registry: { retries: 2 } });
    expect(Math.min(...counts.values())).toBeGreaterThan(2);
  });

  test('nobody listens, and no such host', async () => {
    const dead = await startFaultProxy(registry.host);
    await dead.stop();
    await expectFailure(`${dead.host}/app:1`, { code: 'unavailable', ...containing('ECONNREFUSED') });
    await expectFailure('registry.invalid/app:1', { code: 'unavailable', ...containing('no such host') });
  });
});

describe('a connection that', () => {
  test('breaks in the middle of a blob is made again from there', async () => {
    const reference = await publishApp();
    let cuts = 0;
    proxy.fault = (seen) => {
      if (!isLarge(seen) || cuts === 3) return undefined;
      cuts += 1;
      return { cutAfter: 3 * MIB };
    };
    await expectSuccess(reference);
    const ranges = proxy.seen.filter(isLarge).map(({ range }) => range);
    expect(ranges).toHaveLength(4);
    expect(ranges[0]).toBeUndefined();
    expect(ranges.slice(1).every((range) => /^bytes=[1-9]\d+-$/.test(range ?? ''))).toBe(true);
    // Each byte was served once, but for what was on its way when it broke.
    expect(proxy.blobBytes).toBeLessThan(large.length + 3 * MIB);
  });

  test('breaks, of a registry that knows no ranges', async () => {
    const reference = await publishApp();
    let cuts = 0;
    proxy.fault = (seen) => {
      if (!isLarge(seen)) return undefined;
      cuts += 1;
      return cuts <= 2 ? { cutAfter: 3 * MIB, ignoreRange: true } : { ignoreRange: true };
    };
    await expectSuccess(reference, { registry: { retries: 2 } });
  });

  test('breaks again and again is given up, and the next pull goes on', async () => {
    const reference = await publishApp();
    proxy.fault = (seen) => (isLarge(seen) ? (seen.range ? { cutAfter: 10 } : { cutAfter: 6 * MIB }) : undefined);
    await expectFailure(reference, { code: 'unavailable' });
    expect((await observeApi(context)).ingests).toHaveLength(1);
    proxy.reset();
    await expectSuccess(reference);
    expect(proxy.blobBytes).toBeLessThan(large.length - MIB);
  });

  test('is slow but steady is waited for', async () => {
    const reference = await publishApp();
    proxy.fault = (seen) => (isLarge(seen) ? { bytesPerSecond: 8 * MIB } : undefined);
    await expectSuccess(reference);
  });

  test('ends with the registry, which is started again', async () => {
    const reference = await publishApp();
    let killed: Promise<void> | undefined;
    const kill = async () => {
      await registry.kill9();
      await registry.start();
    };
    proxy.fault = (seen) =>
      isLarge(seen) ? { bytesPerSecond: killed === undefined ? 10 * MIB : 200 * MIB } : undefined;
    const given = { registry: { retries: 6 } };
    const onProgress: PullOptions['onProgress'] = ({ completed, digest }) => {
      if (digest === largeDigest && completed > 4 * MIB) killed ??= kill();
    };
    await expectSuccess(reference, { ...given, onProgress });
    await killed;
    expect(proxy.seen.filter((seen) => isLarge(seen) && seen.range !== undefined).length).toBeGreaterThan(0);
    expect(proxy.blobBytes).toBeLessThan(large.length + 3 * MIB);
  });
});

sameForAll('a connection that', () => {
  test('never answers', async () => {
    const reference = await publishApp();
    proxy.fault = () => ({ silent: true });
    await expectFailure(reference, { code: 'deadline-exceeded' }, impatient);
  });

  test.each([
    ['blob', isLarge],
    ['manifest', isManifest],
  ])('gives a %s byte by byte', async (_, isIt) => {
    const reference = await publishApp();
    proxy.fault = (seen) => (isIt(seen) ? { bytesPerSecond: 40 } : undefined);
    await expectFailure(reference, { code: 'deadline-exceeded' }, impatient);
    proxy.reset();
    await expectSuccess(reference);
  });
});

describe('bytes that are', () => {
  test('corrupt in a layer', async () => {
    const reference = await publishApp();
    proxy.fault = (seen) => (isLarge(seen) ? { flipAt: 5 * MIB } : undefined);
    await expectFailure(reference, { code: 'data-loss', ...containing(largeDigest) });
    expect((await observeApi(context)).ingests).toEqual([]);
    proxy.reset();
    await expectSuccess(reference);
  });

  test('corrupt in what an earlier pull left', async () => {
    const reference = await publishApp();
    proxy.fault = (seen) =>
      isLarge(seen) ? (seen.range ? { cutAfter: 0 } : { flipAt: MIB, cutAfter: 6 * MIB }) : undefined;
    await expectFailure(reference, { code: 'unavailable' });
    proxy.reset();
    await expectSuccess(reference);
  });

  test.each([
    ['too few of a layer', (data: Buffer) => data.subarray(0, 1000), isLarge, 'has 1000 bytes'],
    ['too many of a layer', (data: Buffer) => Buffer.concat([data, data]), isLarge, 'bytes at 127.0.0.1'],
    [
      'another manifest than its header says',
      (data: Buffer) => Buffer.concat([data, Buffer.from(' ')]),
      isManifest,
      'has the digest',
    ],
    [
      'another config',
      (data: Buffer) => Buffer.from(data.toString().replace('linux', 'Linux')),
      ({ url }: SeenRequest) => url.includes(app[2]?.descriptor.digest ?? '-'),
      app[2]?.descriptor.digest ?? '-',
    ],
  ])('%s', async (_, rewrite, isIt, says) => {
    const reference = await publishApp();
    proxy.fault = (seen) => (isIt(seen) ? { rewrite } : undefined);
    await expectFailure(reference, { code: 'data-loss', ...containing(says) });
    proxy.reset();
    await expectSuccess(reference);
  });

  test('not those of a pinned digest', async () => {
    const reference = await publishApp();
    const { digest } = targetOf(app).descriptor;
    proxy.fault = (seen) =>
      isManifest(seen) ? { rewrite: (data) => Buffer.concat([data, Buffer.from('\n')]) } : undefined;
    await expectFailure(`${reference.replace(/:\d+$/, '')}@${digest}`, {
      code: 'data-loss',
      ...containing(`not ${digest}`),
    });
  });

  test.each([
    [
      'a layer that is not what its config says',
      image({ layers: [layer('a')], stored: [layer('b')] }),
      'data-loss',
      'its config says',
    ],
    [
      'a layer that is not gzip',
      image({ stored: [noise(5000)], layers: [layer('a')], layerType: `${OCI}.layer.v1.tar+gzip` }),
      'data-loss',
      'cannot be unpacked',
    ],
    [
      'a foreign layer',
      image({ layerType: `${OCI}.layer.nondistributable.v1.tar` }),
      'invalid-argument',
      'foreign layer',
    ],
    ['an encrypted layer', image({ layerType: `${OCI}.layer.v1.tar+encrypted` }), 'invalid-argument', 'is encrypted'],
    [
      'something else than an image',
      image({ configType: 'application/vnd.test.chart+json' }),
      'invalid-argument',
      'not the image of a container',
    ],
    [
      'another platform',
      image({ platform: { os: 'linux', architecture: 's390x' } }),
      'not-found',
      'only for linux/s390x',
    ],
  ])('%s', async (_, blobs, code, says) => {
    await expectFailure(await publishApp(blobs), { code, ...containing(says) });
  });

  test.each([
    [
      'of schema 1',
      { schemaVersion: 1, name: 'app', fsLayers: [] },
      'application/vnd.docker.distribution.manifest.v1+prettyjws',
      'newer tool',
    ],
    [
      'a manifest and an index at once',
      { schemaVersion: 2, manifests: [], layers: [] },
      `${OCI}.manifest.v1+json`,
      'at once',
    ],
    [
      'of one type to itself and another to the registry',
      { mediaType: `${OCI}.index.v1+json`, manifests: [] },
      `${OCI}.manifest.v1+json`,
      'to itself',
    ],
  ])('%s', async (_, document, type, says) => {
    const body = JSON.stringify(document);
    proxy.fault = () => ({ answer: { status: 200, headers: { 'content-type': type }, body } });
    await expectFailure(`${proxy.host}/app:1`, { code: 'invalid-argument', ...containing(says) });
  });
});

describe('a budget', () => {
  const tar = packTar([{ path: 'zeros', data: Buffer.alloc(300 * MIB) }]);
  const bomb = image({ layers: [tar], stored: [gzipSync(tar, { level: 1 })], layerType: `${OCI}.layer.v1.tar+gzip` });

  test('stops what unpacks to more', async () => {
    const reference = await publishApp(bomb);
    const given = { ...options, maxUnpackedBytes: 20 * MIB };
    await expectFailure(reference, { code: 'resource-exhausted', ...containing(String(20 * MIB)) }, given);
  });

  test('stops what is larger before anything is downloaded', async () => {
    const reference = await publishApp();
    await expectFailure(reference, { code: 'resource-exhausted' }, { ...options, maxBytes: MIB });
    expect(proxy.seen.filter(isLarge)).toEqual([]);
  });
});

test('a blob elsewhere is fetched from there, without our credentials', async () => {
  const secret = 'Bearer planted-4711';
  const reference = await publishApp();
  const seen: (string | undefined)[] = [];
  const elsewhere = createServer((incoming, outgoing) => {
    seen.push(incoming.headers.authorization);
    outgoing.writeHead(200, { 'content-length': large.length }).end(large);
  });
  await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve));
  try {
    const { port } = elsewhere.address() as { port: number };
    proxy.fault = (request) => {
      if (request.authorization !== secret && !request.url.startsWith('/token')) {
        const challenge = `Bearer realm="http://${proxy.host}/token",service="test"`;
        return { answer: { status: 401, headers: { 'www-authenticate': challenge } } };
      }
      if (request.url.startsWith('/token')) {
        return { answer: { status: 200, body: JSON.stringify({ token: 'planted-4711' }) } };
      }
      if (!isLarge(request)) return undefined;
      return { answer: { status: 307, headers: { location: `http://localhost:${port}/x?signature=planted-4711` } } };
    };
    await expectSuccess(reference);
    expect(seen).toEqual([undefined]);
    expect(proxy.seen.filter(({ url }) => url.startsWith('/token'))).toHaveLength(1);
    const gone = elsewhere.close();
    gone.closeAllConnections();
    for (const { name } of await listImages(channel)) expect(name).not.toContain('planted');
    await expectNothingStays(channel);
    const error = await expectFailure(reference, { code: 'unavailable' });
    expect(inspect(error, { depth: 20 })).not.toContain('planted');
  } finally {
    elsewhere.close();
  }
  proxy.reset();
  await expectSuccess(reference);
});

test('canceled at any moment: no record, no lease, and the next pull succeeds', async () => {
  const reference = await publishApp();
  proxy.fault = (seen) => (isLarge(seen) ? { bytesPerSecond: 100 * MIB } : undefined);
  let canceled = 0;
  for (let ms = 1; ; ms = Math.ceil(ms * 1.4)) {
    const signal = AbortSignal.timeout(ms);
    const failure = await pullImage(channel, reference, { ...options, signal }).then(
      () => undefined,
      (error: unknown) => error,
    );
    if (failure === undefined) break;
    expect(failure).toMatchObject({ code: 'canceled' });
    const { ingests: _, ...rest } = await observeApi(context);
    expect({ ...rest, ingests: [] }).toEqual(EMPTY_STATE);
    canceled += 1;
  }
  expect(canceled).toBeGreaterThan(3);
});

test('canceled while the daemon keeps a blob: nothing stays of it', async () => {
  const reference = await publishApp();
  for (let commit = 1; commit <= app.length; commit += 1) {
    for (let round = 0; round < 3; round += 1) {
      const canceled = new AbortController();
      const watch = new CommitWatch(context, commit, canceled);
      try {
        const pulling = pullImage(watch, reference, { ...options, signal: canceled.signal });
        await expect(pulling).rejects.toMatchObject({ code: 'canceled' });
      } finally {
        watch.close();
      }
      expect({ ...(await observeApi(context)), ingests: [] }).toEqual(EMPTY_STATE);
    }
  }
});

/** Cancels as soon as the n-th commit is on its way. */
class CommitWatch extends Channel {
  #left: number;
  readonly #canceled: AbortController;

  constructor(scope: typeof context, nth: number, canceled: AbortController) {
    super(scope);
    this.#left = nth;
    this.#canceled = canceled;
  }

  override upload<Res>(...given: Parameters<typeof Channel.prototype.upload<Res>>): Duplex<Buffer, Res> {
    const call = super.upload(...given);
    const send = call.send.bind(call);
    call.send = async (request) => {
      await send(request);
      if (WriteContentRequest.decode(request).action !== WriteAction.COMMIT) return;
      this.#left -= 1;
      if (this.#left === 0) this.#canceled.abort();
    };
    return call;
  }
}
