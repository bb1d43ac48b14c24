import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { expect, test, vi } from 'vitest';
import { GATEWAY, openGate, readAll } from './gate.js';

const SERVER = '93.184.215.7';

test('an address that a rule names is reached, at its ports alone; all else is reset and told', async () => {
  const { open, serve, denials } = await openGate({ allow: [`${SERVER}:7-8`] });
  await serve(
    SERVER,
    7,
    createServer((socket) => socket.end('hello')),
  );
  expect(await readAll(await open(SERVER, 7))).toBe('hello');
  expect(denials).toEqual([]);
  expect(await readAll(await open(SERVER, 9))).toBe('ECONNRESET');
  expect(denials).toEqual([
    { protocol: 'tcp', address: SERVER, port: 9, reason: 'no rule allows the address and port' },
  ]);
});

test('the gateway serves names alone, and IPv6 is refused by name', async () => {
  const { open, denials } = await openGate({ allow: ['0.0.0.0/0', `${GATEWAY}:80`] });
  for (const address of [GATEWAY, '2001:db8::1', '::1'])
    expect(await readAll(await open(address, 80))).toBe('ECONNRESET');
  expect(denials.map(({ address, reason }) => [address, reason])).toEqual([
    [GATEWAY, 'the gateway serves names alone'],
    ['2001:db8::1', 'a session has no IPv6'],
    ['::1', 'a session has no IPv6'],
  ]);
});

test('nothing is left open when both sides have ended, or one of them has broken off', async () => {
  const { open, serve } = await openGate({ allow: [SERVER] });
  const server = createServer((socket) => socket.pipe(socket));
  await serve(SERVER, 7, server);
  const clients = await Promise.all(Array.from({ length: 30 }, () => open(SERVER, 7)));
  await Promise.all(
    clients.map(async (client, index) => {
      client.write('hello');
      await once(client, 'data');
      if (index % 3 === 0) client.end();
      else if (index % 3 === 1) client.destroy();
      else client.resetAndDestroy();
    }),
  );
  const count = () => new Promise<number>((resolve) => server.getConnections((_, found) => resolve(found)));
  await vi.waitUntil(async () => (await count()) === 0, 90_000);
});

test('a flood of denials is told as a number', async () => {
  const { open, denials, enforcer } = await openGate({});
  const sockets = await Promise.all(Array.from({ length: 500 }, () => open(SERVER, 9)));
  await Promise.all(sockets.map(readAll));
  enforcer.close();
  const told = denials.filter(({ address }) => address === SERVER).length;
  const counted = denials.map(({ reason }) => Number(/^(\d+) more were refused$/.exec(reason)?.[1] ?? 0));
  expect(told).toBeGreaterThanOrEqual(200);
  expect(told + counted.reduce((sum, number) => sum + number, 0)).toBe(500);
});

test('more connections than there may be are refused, and one that ends makes room', async () => {
  const { open, serve, denials } = await openGate({ allow: ['a.example', `${SERVER}:7`] });
  await serve(
    SERVER,
    7,
    createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket)),
  );
  // They have not said yet where they want to go.
  const clients: Socket[] = [];
  while (clients.length < 1_024) clients.push(await open(SERVER, 80));
  const reach = async () => {
    const client = await open(SERVER, 7);
    client.end('again');
    return readAll(client);
  };
  await vi.waitUntil(async () => (await reach()) !== 'again', 90_000);
  expect(denials[0]).toMatchObject({ reason: 'too many connections at once' });
  clients[0]?.destroy();
  await vi.waitUntil(async () => (await reach()) === 'again', 90_000);
});
