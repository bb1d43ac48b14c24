import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData, status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { EventsService } from '../../src/generated/github.com/containerd/containerd/api/services/events/v1/events.js';
import { TasksService } from '../../src/generated/github.com/containerd/containerd/api/services/tasks/v1/tasks.js';
import { VersionService } from '../../src/generated/github.com/containerd/containerd/api/services/version/v1/version.js';
import { Channel, type ChannelOptions } from '../../src/rpc/channel.js';
import { probeServer } from '../../src/rpc/probe.js';
import { watchSteal } from '../support/patience.js';

// The transport is under test here, against a server that fails on command; containerd itself is met in *.e2e tests.

type Handler = (call: ServerUnaryCall<never, never>, reply: sendUnaryData<never>) => void;

let directory: string;
let address: string;
const closers: (() => void)[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'rpc-'));
  address = join(directory, 's.sock');
});
afterEach(() => {
  for (const close of closers.splice(0)) close();
  rmSync(directory, { recursive: true });
});

async function serve(service: object, handlers: Record<string, unknown>): Promise<Server> {
  const server = new Server();
  const absent: Handler = (_, reply) => reply({ code: status.UNIMPLEMENTED, details: 'absent' });
  const names = Object.keys(service);
  server.addService(
    service as never,
    Object.fromEntries(names.map((name) => [name, handlers[name] ?? absent])) as never,
  );
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix://${address}`, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    );
  });
  closers.push(() => server.forceShutdown());
  return server;
}

function connect(options: Partial<ChannelOptions> = {}): Channel {
  const channel = new Channel({ address: `unix://${address}`, namespace: 'test', ...options });
  closers.push(() => channel.close());
  return channel;
}

const target = { containerId: 'c', execId: '' };

describe('unary', () => {
  test('sends namespace and lease with every call', async () => {
    const seen: unknown[] = [];
    const start: Handler = (call, reply) => {
      seen.push([call.metadata.get('containerd-namespace'), call.metadata.get('containerd-lease')]);
      reply(null, { pid: 7 } as never);
    };
    await serve(TasksService, { start });
    const channel = connect({ namespace: 'ns1' });
    expect(await channel.unary(TasksService.start, target)).toMatchObject({ pid: 7 });
    await channel.withLease('l1').unary(TasksService.start, target);
    expect(seen).toEqual([
      [['ns1'], []],
      [['ns1'], ['l1']],
    ]);
  });

  test.each([
    [status.NOT_FOUND, 'task c not found', 'not-found'],
    [status.UNKNOWN, 'OCI runtime create failed: container with given ID: file exists: unknown', 'already-exists'],
    [status.UNKNOWN, 'ttrpc: closed: unknown', 'unavailable'],
    [status.UNKNOWN, 'context deadline exceeded', 'deadline-exceeded'],
    [status.UNKNOWN, 'cannot exec in a stopped state: unknown', 'failed-precondition'],
    [status.UNKNOWN, 'cannot delete a running process: unknown', 'failed-precondition'],
    [status.UNKNOWN, 'something odd', 'unknown'],
    [status.RESOURCE_EXHAUSTED, 'too large', 'resource-exhausted'],
  ])('translates code %i, %j to %s', async (code, details, expected) => {
    await serve(TasksService, { start: ((_, reply) => reply({ code, details })) satisfies Handler });
    await expect(connect().unary(TasksService.start, target)).rejects.toMatchObject({
      name: 'DriverError',
      code: expected,
      operation: 'Tasks.Start',
      message: `Tasks.Start: ${details.replace(/: unknown$/, '')}`,
    });
  });

  test('gives up at its deadline and when its signal is aborted', async () => {
    await serve(TasksService, { wait: () => undefined });
    const channel = connect();
    await expect(channel.unary(TasksService.wait, target, { deadlineMs: 80 })).rejects.toMatchObject({
      code: 'deadline-exceeded',
      message: 'Tasks.Wait: no answer in 80 ms',
    });
    const hasty = connect({ callTimeoutMs: 70 });
    const answers = [hasty, hasty.withLease('any')].map((each) => each.unary(TasksService.wait, target));
    const late = { status: 'rejected', reason: { message: 'Tasks.Wait: no answer in 70 ms' } };
    expect(await Promise.allSettled(answers)).toMatchObject([late, late]);
    const abort = new AbortController();
    const call = channel.unary(TasksService.wait, target, { deadlineMs: null, signal: abort.signal });
    setTimeout(() => abort.abort(new Error('enough')), 20);
    await expect(call).rejects.toMatchObject({ code: 'canceled', cause: { message: 'enough' } });
    await expect(channel.unary(TasksService.wait, target, { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'canceled',
    });
  });

  test('repeats a read when the daemon goes away under it, never a write', async () => {
    const count = { get: 0, start: 0 };
    const failFirst =
      (name: 'get' | 'start'): Handler =>
      (_, reply) =>
        count[name]++ === 0 ? reply({ code: status.UNAVAILABLE, details: 'closing' }) : reply(null, {} as never);
    await serve(TasksService, { get: failFirst('get'), start: failFirst('start') });
    const channel = connect();
    await channel.unary(TasksService.get, target);
    expect(count.get).toBe(2);
    await expect(channel.unary(TasksService.start, target)).rejects.toMatchObject({ code: 'unavailable' });
    expect(count.start).toBe(1);
  });

  test('a call that never left is sent once the daemon is back, soon', async () => {
    const channel = connect();
    const call = channel.unary(TasksService.start, target);
    await sleep(400);
    const back = Date.now();
    const stolen = watchSteal();
    await serve(TasksService, { start: ((_, reply) => reply(null, { pid: 3 } as never)) satisfies Handler });
    expect(await call).toMatchObject({ pid: 3 });
    expect(Date.now() - back - stolen()).toBeLessThan(1_000);
  });

  test('receives messages of more than 4 MiB', async () => {
    const version = 'x'.repeat(9 * 1024 * 1024);
    await serve(VersionService, {
      version: ((_, reply) => reply(null, { version, revision: '' } as never)) satisfies Handler,
    });
    expect((await connect().unary(VersionService.version, {})).version).toHaveLength(version.length);
  });
});

describe('server streams', () => {
  test('are under way before they are read, and end on the server when the loop is left', async () => {
    const state = { started: false, canceled: false };
    await serve(EventsService, {
      subscribe: (call: { write(event: unknown): void; on(name: string, listener: () => void): void }) => {
        state.started = true;
        call.on('cancelled', () => {
          state.canceled = true;
        });
        for (const topic of ['/a', '/b']) call.write({ topic, namespace: '', timestamp: undefined, event: undefined });
      },
    });
    const stream = connect().serverStream(EventsService.subscribe, { filters: [] });
    await expect.poll(() => state.started).toBe(true);
    for await (const { topic } of stream) {
      expect(topic).toBe('/a');
      break;
    }
    await expect.poll(() => state.canceled).toBe(true);
  });

  test('that fail before anyone reads throw at the first read', async () => {
    await serve(EventsService, {
      subscribe: (call: NodeJS.EventEmitter) => call.emit('error', { code: status.UNIMPLEMENTED, details: 'absent' }),
    });
    const stream = connect().serverStream(EventsService.subscribe, { filters: [] });
    await sleep(50);
    await expect(stream[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'unimplemented' });
  });

  test('end with canceled when their signal is aborted', async () => {
    await serve(EventsService, { subscribe: () => undefined });
    const abort = new AbortController();
    const stream = connect().serverStream(EventsService.subscribe, { filters: [] }, { signal: abort.signal });
    setTimeout(() => abort.abort(), 30);
    await expect(stream[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'canceled' });
  });
});

describe('address', () => {
  test.each(['relative/socket', 'tcp://127.0.0.1:1', '', `/${'x'.repeat(120)}`, '/a\0b'])('%j is refused', (bad) => {
    expect(() => new Channel({ address: bad, namespace: 'n' })).toThrow(
      expect.objectContaining({
        code: 'invalid-argument',
        faults: [expect.objectContaining({ path: 'address', value: bad })],
      }),
    );
  });

  test('where nobody listens is reported at once, with the address', async () => {
    await expect(probeServer(connect())).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(`no containerd answers at ${address}: .*ENOENT`),
    });
  });

  test('where something else listens is reported as such', async () => {
    const silent = net.createServer((socket) =>
      socket.on('error', () => undefined).end('HTTP/1.1 400 Bad Request\r\n\r\n'),
    );
    await new Promise<void>((resolve) => silent.listen(address, resolve));
    closers.push(() => silent.close());
    await expect(probeServer(connect())).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(`no containerd answers at ${address}`),
    });
  });

  test('a daemon that does not answer is given up when any call would be', async () => {
    await serve(VersionService, { version: () => undefined });
    await expect(probeServer(connect({ callTimeoutMs: 70 }))).rejects.toMatchObject({
      code: 'unavailable',
      message: `no containerd answers at ${address}: no answer in 70 ms`,
    });
  });

  test('of another gRPC server is reported as such', async () => {
    await serve(EventsService, {});
    await expect(probeServer(connect())).rejects.toMatchObject({
      code: 'unavailable',
      message: `no containerd answers at ${address}: something else listens there`,
    });
  });
});
