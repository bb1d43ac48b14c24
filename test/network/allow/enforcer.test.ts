import { createServer } from 'node:net';
import { expect, test, vi } from 'vitest';
import { openGate, readAll } from './gate.js';

// Sockets wait for a machine that is busy with other tests.
vi.setConfig({ testTimeout: 120_000 });

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
