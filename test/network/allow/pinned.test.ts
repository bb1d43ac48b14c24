import { once } from 'node:events';
import { createServer } from 'node:net';
import { decode, encode } from 'dns-packet';
import { expect, onTestFinished, test, vi } from 'vitest';
import { type Gate, openGate, readAll } from './gate.js';
import { writeClientHello } from './hello.js';

const SERVER = '93.184.215.7';
const SSH = 22;
const hosts = { 'git.example': [{ address: SERVER, ttl: 20 }], 'other.example': [{ address: '93.184.215.8' }] };
const allow = ['git.example:22', 'other.example:443'];

/** Asks for a name as the session would. */
async function ask({ dns }: Gate, name: string): Promise<string[]> {
  const { createSocket } = await import('node:dgram');
  const socket = createSocket('udp4');
  socket.send(encode({ type: 'query', id: 1, questions: [{ type: 'A', name }] }), dns.address().port, '127.0.0.1');
  const [message] = await once(socket, 'message');
  socket.close();
  return (decode(message).answers ?? []).map((answer) => String('data' in answer ? answer.data : ''));
}

/** A server that speaks first, and again when it is spoken to. */
async function openServed(): Promise<Gate> {
  const gate = await openGate({ allow, hosts });
  const server = createServer((socket) => {
    socket.write('SSH-2.0-server\r\n');
    socket.once('data', (bytes) => socket.end(`got ${bytes.subarray(0, 3)}`));
  });
  await gate.serve(SERVER, SSH, server);
  await gate.serve(
    '93.184.215.8',
    SSH,
    createServer((socket) => socket.end('wrong')),
  );
  return gate;
}

function watchClock(): void {
  vi.useFakeTimers({ toFake: ['performance'], now: 0 });
  onTestFinished(() => {
    vi.useRealTimers();
  });
}

test('an address that was told is reached at the ports of the name, and a server may speak first', async () => {
  const gate = await openServed();
  const early = await gate.open(SERVER, SSH);
  early.write('SSH');
  expect(await readAll(early)).toBe('ECONNRESET');
  expect(await ask(gate, 'git.example')).toEqual([SERVER]);
  expect(await ask(gate, 'other.example')).toEqual(['93.184.215.8']);
  const socket = await gate.open(SERVER, SSH);
  expect(String((await once(socket, 'data'))[0])).toBe('SSH-2.0-server\r\n');
  socket.write('SSH-2.0-client\r\n');
  expect(await readAll(socket)).toBe('got SSH');
  // Told, but not by a name that has the port; and a port that no name has.
  for (const [address, port] of [
    ['93.184.215.8', SSH],
    [SERVER, 23],
  ] as const) {
    const refused = await gate.open(address, port);
    refused.end('SSH-2.0-client\r\n');
    expect(await readAll(refused)).toBe('ECONNRESET');
  }
  expect(gate.denials).toHaveLength(3);
});

test('TLS to an address that was told names the host that it was told for', async () => {
  const gate = await openServed();
  await ask(gate, 'git.example');
  const right = await gate.open(SERVER, SSH);
  right.write(writeClientHello(['git.example']));
  expect(await readAll(right)).toContain('got \x16\x03\x01');
  for (const names of [['other.example'], ['evil.test'], []]) {
    const wrong = await gate.open(SERVER, SSH);
    wrong.write(writeClientHello(names));
    // What the server said first and the reset, read in one turn, are to libuv its word and an end.
    expect(await readAll(wrong)).toMatch(/^(ECONNRESET|SSH-2.0-server\r\n)$/);
  }
  expect(gate.denials).toEqual(
    Array.from({ length: 3 }, () =>
      expect.objectContaining({ protocol: 'tls', reason: 'no rule leads here by that name' }),
    ),
  );
});

test('an address that was told is closed when the answer has run out, half a minute later', async () => {
  watchClock();
  const gate = await openServed();
  await ask(gate, 'git.example');
  vi.advanceTimersByTime(49_000);
  const before = await gate.open(SERVER, SSH);
  expect(String((await once(before, 'data'))[0])).toContain('SSH-2.0');
  vi.advanceTimersByTime(2_000);
  const after = await gate.open(SERVER, SSH);
  after.end('SSH');
  expect(await readAll(after)).toBe('ECONNRESET');
  // What is open stays so.
  before.write('SSH');
  expect(await readAll(before)).toBe('got SSH');
  await ask(gate, 'git.example');
  expect(String((await once(await gate.open(SERVER, SSH), 'data'))[0])).toContain('SSH-2.0');
});
