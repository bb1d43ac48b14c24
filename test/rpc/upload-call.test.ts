import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server, ServerCredentials, type ServerDuplexStream, status } from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  ContentService,
  WriteAction,
  WriteContentRequest,
  type WriteContentResponse,
} from '../../src/generated/github.com/containerd/containerd/api/services/content/v1/content.js';
import { Channel } from '../../src/rpc/channel.js';
import type { Duplex } from '../../src/rpc/stream.js';

// Against grpc-js's own server, which can be made to fail; containerd itself is met by whatever writes content.

type Call = ServerDuplexStream<WriteContentRequest, WriteContentResponse>;

const MIB = 1024 ** 2;
const closers: (() => void)[] = [];
let directory: string;
let address: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'upload-'));
  address = join(directory, 's.sock');
});
afterEach(() => {
  for (const close of closers.splice(0).reverse()) close();
  rmSync(directory, { recursive: true });
});

async function serve(write: (call: Call) => void): Promise<Server> {
  const server = new Server({ 'grpc.max_receive_message_length': 16 * MIB });
  server.addService({ write: ContentService.write }, { write });
  await new Promise<void>((resolve, reject) => {
    const listening = (error: Error | null) => (error === null ? resolve() : reject(error));
    server.bindAsync(`unix://${address}`, ServerCredentials.createInsecure(), listening);
  });
  closers.push(() => server.forceShutdown());
  return server;
}

function upload(signal?: AbortSignal): Duplex<Buffer, WriteContentResponse> {
  const channel = new Channel({ address, namespace: 'test' });
  closers.push(() => channel.close());
  const call = channel.withLease('held').upload(ContentService.write, { signal });
  closers.push(() => call.cancel());
  return call;
}

function encode(data: Buffer): Buffer {
  const request = { action: WriteAction.WRITE, ref: 'r', total: 0n, expected: '', offset: 0n, data, labels: {} };
  return Buffer.from(WriteContentRequest.encode(request).finish());
}

const answer = (offset: number) =>
  ({ action: WriteAction.WRITE, offset: BigInt(offset), total: 0n, digest: '' }) as never;
const fail = (code: status, details: string) => (call: Call) => call.emit('error', { code, details });

test('requests arrive whole, each answered, with namespace and lease; then both ends end', async () => {
  const seen: unknown[] = [];
  await serve((call) => {
    seen.push(call.metadata.get('containerd-namespace'), call.metadata.get('containerd-lease'));
    call.on('data', ({ data }: WriteContentRequest) =>
      call.write(answer(data.reduce((sum, byte) => sum + byte, data.length))),
    );
    call.on('end', () => call.end());
  });
  const call = upload();
  const answers = call.responses[Symbol.asyncIterator]();
  const memory = Buffer.alloc(4 * MIB);
  for (const [byte, bytes] of [
    [1, 0],
    [2, 1],
    [3, 4 * MIB],
    [4, MIB],
  ] as const) {
    // The same memory again, as an answer says that it was read.
    await call.send(encode(memory.subarray(0, bytes).fill(byte)));
    expect((await answers.next()).value).toMatchObject({ offset: BigInt(bytes * (byte + 1)) });
  }
  call.end();
  expect(await answers.next()).toEqual({ done: true, value: undefined });
  expect(seen).toEqual([['test'], ['held']]);
});

test.each([
  [status.ALREADY_EXISTS, 'blob: already exists', 'already-exists'],
  [status.RESOURCE_EXHAUSTED, 'no space left: 100 % of "ü" is used', 'resource-exhausted'],
  [status.UNAVAILABLE, 'ref locked', 'unavailable'],
])('a failure %j, %j is %s of the read and of each write that follows', async (code, details, expected) => {
  await serve(fail(code, details));
  const call = upload();
  const failure = {
    name: 'DriverError',
    code: expected,
    operation: 'Content.Write',
    message: `Content.Write: ${details}`,
  };
  const answers = call.responses[Symbol.asyncIterator]();
  await expect(answers.next()).rejects.toMatchObject(failure);
  await expect(call.send(encode(Buffer.alloc(MIB)))).rejects.toMatchObject(failure);
});

test('a failure in the middle of a large request is what the server said', async () => {
  await serve((call) => call.once('data', () => fail(status.RESOURCE_EXHAUSTED, 'disk full')(call)));
  const call = upload();
  await call.send(encode(Buffer.alloc(10)));
  const failures = await Promise.allSettled([
    call.send(encode(Buffer.alloc(8 * MIB))),
    call.send(encode(Buffer.alloc(8 * MIB))),
  ]);
  const last = failures.at(-1);
  expect(last).toMatchObject({
    status: 'rejected',
    reason: { code: 'resource-exhausted', message: 'Content.Write: disk full' },
  });
});

test('a server that goes away, and one that was never there', async () => {
  const server = await serve((call) => call.once('data', () => server.forceShutdown()));
  const call = upload();
  await call.send(encode(Buffer.alloc(10)));
  const answers = call.responses[Symbol.asyncIterator]();
  await expect(answers.next()).rejects.toMatchObject({ code: 'unavailable', operation: 'Content.Write' });
  const absent = upload();
  await expect(absent.send(encode(Buffer.alloc(10)))).rejects.toMatchObject({
    code: 'unavailable',
    message: `Content.Write: connect ENOENT ${address}`,
  });
});

test('a server of something else', async () => {
  const other = createServer((socket) => socket.on('error', () => undefined).end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  await new Promise<void>((resolve) => other.listen(address, resolve));
  closers.push(() => other.close());
  await expect(upload().responses[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'unavailable' });
});

test('an answer that cannot be read fails the call', async () => {
  const channel = new Channel({ address, namespace: 'test' });
  closers.push(() => channel.close());
  await serve((call) => call.write(answer(1)));
  const responseDeserialize = () => {
    throw new RangeError('index out of range: 3 + 10 > 4');
  };
  const call = channel.upload({ ...ContentService.write, responseDeserialize });
  const message = 'Content.Write: unreadable response: RangeError: index out of range: 3 + 10 > 4';
  await expect(call.responses[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'unknown', message });
});

test('a channel that is closed ends its uploads, and those of its leases', async () => {
  await serve(() => undefined);
  const channel = new Channel({ address, namespace: 'test' });
  const calls = [channel, channel.withLease('held')].map((each) => each.upload(ContentService.write));
  const ends = Promise.allSettled(calls.map((call) => call.responses[Symbol.asyncIterator]().next()));
  channel.close();
  const canceled = { status: 'rejected', reason: { code: 'canceled', operation: 'Content.Write' } };
  expect(await ends).toMatchObject([canceled, canceled]);
});

test('a cancellation reaches the server, also while it does not read', async () => {
  const state = { called: false, canceled: false };
  await serve((call) => {
    state.called = true;
    call.on('cancelled', () => {
      state.canceled = true;
    });
  });
  const abort = new AbortController();
  const call = upload(abort.signal);
  const sending = Promise.allSettled([1, 2, 3, 4].map(() => call.send(encode(Buffer.alloc(4 * MIB)))));
  await expect.poll(() => state.called).toBe(true);
  expect(state.canceled).toBe(false);
  abort.abort(new Error('enough'));
  expect((await sending).at(-1)).toMatchObject({ reason: { code: 'canceled', cause: { message: 'enough' } } });
  await expect.poll(() => state.canceled).toBe(true);
});
