import { once } from 'node:events';
import { createServer as createHttpServer, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { countRuns } from '../../support/runs.js';
import { type Gate, openGate, readAll } from './gate.js';

const SERVER = '93.184.215.7';
const OTHER = '93.184.215.8';
const hosts = {
  'a.example': [{ address: SERVER }],
  'b.example': [{ address: OTHER }],
  'in.example': [{ address: '10.0.0.1' }],
};
const allow = ['a.example', 'b.example', 'in.example'];

interface Seen {
  host: string;
  line: string;
  headers: IncomingMessage['headers'];
  body: string;
}

/** Two hosts that write down what reaches them, on an address of which the session thinks that it is a third. */
async function openServed(): Promise<Gate & { seen: Seen[]; connect(): Promise<Socket> }> {
  const gate = await openGate({ allow, hosts });
  const seen: Seen[] = [];
  for (const [address, host] of [
    [SERVER, 'a'],
    [OTHER, 'b'],
  ] as const) {
    const server = createHttpServer(async (request, response) => {
      const body = await text(request).catch(() => 'broken off');
      seen.push({ host, line: `${request.method} ${request.url}`, headers: request.headers, body });
      response.setHeader('x-served-by', host);
      response.end(`${host}:${body}`);
    });
    server.on('upgrade', (request, socket, head) => {
      seen.push({ host, line: `upgrade ${request.headers.upgrade}`, headers: request.headers, body: String(head) });
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
      socket.pipe(socket);
    });
    await gate.serve(address, 80, server);
  }
  return { ...gate, seen, connect: () => gate.open('93.184.215.99', 80) };
}

async function send(socket: Socket, bytes: string): Promise<string> {
  socket.write(bytes, 'latin1');
  return readAll(socket);
}

const statuses = (answer: string) => [...answer.matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status]) => Number(status));

test('whoever ends its side after the last request has all answers', async () => {
  const { connect } = await openServed();
  const socket = await connect();
  socket.end('GET /one HTTP/1.1\r\nHost: a.example\r\n\r\nGET /two HTTP/1.1\r\nHost: b.example\r\n\r\n', 'latin1');
  const answer = await readAll(socket);
  expect(statuses(answer)).toEqual([200, 200]);
  expect(answer).toMatch(/\r\n\r\na:[\s\S]*\r\n\r\nb:/);
});

test('each request of a connection goes to the host that it names', async () => {
  const { connect, seen, denials } = await openServed();
  const answer = await send(
    await connect(),
    [
      'GET /one?x=%20y HTTP/1.1\r\nHost: A.example\r\nX-Own: 1\r\nX-Own: 2\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\n\r\n',
      'POST /two HTTP/1.1\r\nHost: b.example:80\r\nContent-Length: 4\r\n\r\nbody',
      'POST http://a.example/three HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
      'DELETE http://a.example?four HTTP/1.1\r\nHost: a.example.\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
      'HEAD /five HTTP/1.1\r\nHost: b.example\r\nConnection: close\r\n\r\n',
    ].join(''),
  );
  expect(statuses(answer)).toEqual([200, 200, 200, 200, 200]);
  expect(seen.map(({ host, line, body }) => [host, line, body])).toEqual([
    ['a', 'GET /one?x=%20y', ''],
    ['b', 'POST /two', 'body'],
    ['a', 'POST /three', 'abc'],
    ['a', 'DELETE /?four', 'abc'],
    ['b', 'HEAD /five', ''],
  ]);
  expect(seen[0]?.headers).toEqual({ host: 'a.example', 'x-own': '1, 2', connection: 'close' });
  expect(denials).toEqual([]);
});

test.each([
  [403, 'GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n'],
  [403, 'GET / HTTP/1.1\r\nHost: a.example.evil.test\r\n\r\n'],
  [403, 'GET / HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n'],
  [403, 'GET / HTTP/1.1\r\nHost: a.example:8080\r\n\r\n'],
  [403, 'GET / HTTP/1.1\r\nHost: a.example@evil.test\r\n\r\n'],
  [403, 'GET / HTTP/1.1\r\nHost: [::1]\r\n\r\n'],
  [403, 'GET / HTTP/1.1\r\nHost: a.example, evil.test\r\n\r\n'],
  [403, 'GET / HTTP/1.1\r\nHost: in.example\r\n\r\n'],
  [400, 'GET http://evil.test/ HTTP/1.1\r\nHost: a.example\r\n\r\n'],
  [400, 'GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n'],
  [400, 'GET http://a.example@evil.test/ HTTP/1.1\r\nHost: a.example\r\n\r\n'],
  [400, 'GET https://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n'],
  [400, 'GET evil.test HTTP/1.1\r\nHost: a.example\r\n\r\n'],
  [400, 'GET / HTTP/1.1\r\nHost: a.example\r\nHost: evil.test\r\n\r\n'],
  [400, 'GET / HTTP/1.1\r\nHost: a.example\r\nHost: a.example\r\n\r\n'],
  [400, 'GET / HTTP/1.1\r\n\r\n'],
  [400, 'GET / HTTP/1.0\r\n\r\n'],
  [400, 'GET / HTTP/1.1\r\nHost:\r\n\r\n'],
  [400, 'POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  [400, 'POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc'],
  [400, 'POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n'],
  [400, 'POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n'],
  [400, 'GET / HTTP/1.1\r\nHost: a.example\r\n X: folded\r\nHost : evil.test\r\n\r\n'],
  [400, 'GET / HTTP/1.1\nHost: a.example\n\n\x00'],
  [400, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  [400, '\x16\x03\x01\x00\x05hello'],
  [403, 'CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n'],
  [403, 'GET / HTTP/1.1\r\nHost: evil.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'],
])('%i for %j, and nothing behind it is done', async (status, bytes) => {
  const { connect, seen, denials } = await openServed();
  const answer = await send(await connect(), `${bytes}GET /behind HTTP/1.1\r\nHost: b.example\r\n\r\n`);
  expect(statuses(answer)).toEqual([status]);
  expect(seen.filter(({ line }) => line !== 'POST /')).toEqual([]);
  if (status === 403) expect(denials).toMatchObject([{ protocol: 'http', port: 80 }]);
});

test('the second request of a connection is looked at as the first was, whenever it comes', async () => {
  const { connect, seen, denials } = await openServed();
  const socket = await connect();
  socket.write('GET /1 HTTP/1.1\r\nHost: a.example\r\n\r\n');
  expect(String((await once(socket, 'data'))[0])).toMatch(/^HTTP\/1\.1 200/);
  await sleep(20);
  expect(statuses(await send(socket, 'GET /2 HTTP/1.1\r\nHost: evil.test\r\n\r\n'))).toEqual([403]);
  expect(seen.map(({ line }) => line)).toEqual(['GET /1']);
  expect(denials).toMatchObject([{ name: 'evil.test', reason: 'no rule allows the name', address: '93.184.215.99' }]);
});

test('a connection that carries many requests one after the other keeps nothing of them', async () => {
  const gate = await openServed();
  const warnings: Error[] = [];
  const keep = (warning: Error) => warnings.push(warning);
  process.on('warning', keep);
  const socket = await gate.connect();
  for (let count = 0; count < 40; count++) {
    socket.write('GET / HTTP/1.1\r\nHost: a.example\r\n\r\n');
    let answer = '';
    while (!answer.endsWith('a:')) answer += (await once(socket, 'data'))[0];
  }
  process.off('warning', keep);
  expect([gate.seen.length, warnings]).toEqual([40, []]);
});

test('WebSocket passes, and another protocol is not changed to', async () => {
  const { connect, seen, denials } = await openServed();
  const socket = await connect();
  socket.write(
    'GET /chat HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n\r\nframe',
  );
  let got = '';
  socket.on('data', (bytes) => {
    got += bytes;
  });
  await vi.waitUntil(() => got.endsWith('frame'), 90_000);
  expect(got).toMatch(/^HTTP\/1\.1 101 Switching Protocols\r\n/);
  socket.write(' more');
  await vi.waitUntil(() => got.endsWith('frame more'), 90_000);
  const upgrade = (protocol: string, rest = '\r\n') =>
    `GET /plain HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAA\r\nUpgrade: ${protocol}\r\n${rest}`;
  const answer = await send(await connect(), `${upgrade('h2c')}PRI * HTTP/2.0\r\n\r\n`);
  expect(statuses(answer)).toEqual([200]);
  expect(statuses(await send(await connect(), upgrade('h2c', 'Content-Length: 4\r\n\r\nbody')))).toEqual([501]);
  expect(seen.map(({ line }) => line)).toEqual(['upgrade websocket', 'GET /plain']);
  expect(seen[1]?.headers).toEqual({ host: 'a.example', connection: 'close' });
  expect(denials).toEqual([]);
});

test('too many requests at once end the connection', async () => {
  const { connect, denials } = await openServed();
  const answer = await send(await connect(), 'GET / HTTP/1.1\r\nHost: a.example\r\n\r\n'.repeat(200));
  expect(answer).toMatch(/ECONNRESET|EPIPE/);
  expect(denials[0]).toMatchObject({ reason: 'too many requests at once' });
});

test('rules that change end a request under way, and nobody answering is a reset', async () => {
  const gate = await openGate({ allow, hosts });
  await gate.serve(
    SERVER,
    80,
    createHttpServer((_, response) => response.write('first')),
  );
  const socket = await gate.open(SERVER, 80);
  socket.write('GET / HTTP/1.1\r\nHost: a.example\r\n\r\n');
  await once(socket, 'data');
  gate.enforcer.update(['b.example']);
  expect(await readAll(socket)).toBe('ECONNRESET');
  expect(await send(await gate.open(SERVER, 80), 'GET / HTTP/1.1\r\nHost: b.example\r\n\r\n')).toBe('ECONNRESET');
  expect(gate.denials).toMatchObject([{ reason: 'the rules have changed' }]);
});

test('whatever is written, a host sees nothing that names another', async () => {
  const { connect, seen } = await openServed();
  const piece = fc.constantFrom(
    'GET / HTTP/1.1\r\n',
    'POST http://b.example/ HTTP/1.1\r\n',
    'Host: a.example\r\n',
    'Host: evil.test\r\n',
    'Host: b.example\r\n',
    'Content-Length: 5\r\n',
    'Transfer-Encoding: chunked\r\n',
    'Connection: content-length, host\r\n',
    'Upgrade: h2c\r\n',
    '\r\n',
    '5\r\n',
    '0\r\n\r\n',
    'hello',
    '\n',
    '\r',
    '\0',
    ' ',
    ':',
    'Expect: 100-continue\r\n',
  );
  const beginning = fc.constantFrom(
    '',
    'Host: a.example\r\n',
    'Host: a.example\r\n\r\n',
    'Host: b.example\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\n',
    'Host: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n',
  );
  const requests = fc
    .tuple(beginning, fc.array(piece, { maxLength: 12 }))
    .map(([first, pieces]) => `GET / HTTP/1.1\r\n${first}${pieces.join('')}`);
  await fc.assert(
    fc.asyncProperty(requests, async (bytes) => {
      const socket = await connect();
      socket.write(bytes, 'latin1');
      // What waits for more has done nothing yet.
      await Promise.race([once(socket, 'data'), once(socket, 'close'), sleep(20)]);
      socket.destroy();
      expect(seen.every(({ host, headers }) => headers.host === `${host}.example`)).toBe(true);
    }),
    { numRuns: countRuns(300) },
  );
  expect(seen.length).toBeGreaterThan(10);
}, 600_000);
