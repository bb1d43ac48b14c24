import { once } from 'node:events';
import { createServer } from 'node:net';
import { connect as connectTls } from 'node:tls';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readClientHello } from '../../../src/network/allow/client-hello.js';
import { countRuns } from '../../support/runs.js';
import { writeClientHello, writeRecords } from './hello.js';

const hello = writeClientHello(['Example.ORG']);
/** Its first record, and then one that is no handshake. */
const mixed = Buffer.concat([
  writeClientHello(['a.example'], { record: 9 }).subarray(0, 14),
  Buffer.from([21, 3, 1, 0, 2]),
]);

test('the ClientHello of a real client', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connectTls({
    ...(server.address() as { port: number }),
    host: '127.0.0.1',
    servername: 'www.example.org',
  });
  client.on('error', () => {});
  const [socket] = await once(server, 'connection');
  const [bytes] = await once(socket, 'data');
  client.destroy();
  socket.destroy();
  server.close();
  expect(readClientHello(bytes)).toEqual({ state: 'hello', name: 'www.example.org' });
});

test.each([
  ['without a name', writeClientHello([]), { state: 'hello' }],
  ['a dot at its end', writeClientHello(['example.org.']), { state: 'hello', name: 'example.org' }],
  ['two names', writeClientHello(['a.example', 'b.example']), { state: 'bad', reason: 'more than one name' }],
  [
    'the name twice',
    writeClientHello(['a.example'], { extensions: 2 }),
    { state: 'bad', reason: 'more than one name' },
  ],
  ['a NUL', writeClientHello(['a.example\0.evil.example']), { state: 'bad', reason: 'a name that no host can have' }],
  ['beyond ASCII', writeClientHello(['\u00e9.example']), { state: 'bad', reason: 'a name that no host can have' }],
  ['an address', writeClientHello(['192.0.2.1']), { state: 'bad', reason: 'a name that no host can have' }],
  ['a short address', writeClientHello(['127.1']), { state: 'bad', reason: 'a name that no host can have' }],
  ['no name in it', writeClientHello(['']), { state: 'bad', reason: 'a name that no host can have' }],
  ['HTTP', Buffer.from('GET / HTTP/1.1\r\n'), { state: 'bad', reason: 'no handshake of TLS' }],
  ['SSH', Buffer.from('SSH-2.0-x\r\n'), { state: 'bad', reason: 'no handshake of TLS' }],
  ['SSLv2', Buffer.from([0x80, 0x2e, 1, 0, 2]), { state: 'bad', reason: 'no handshake of TLS' }],
  ['a ServerHello', writeRecords(Buffer.from([2, 0, 0, 1, 0]), 99), { state: 'bad', reason: 'no ClientHello' }],
  ['an empty record', Buffer.from([22, 3, 1, 0, 0]), { state: 'bad', reason: 'a record of no length that TLS has' }],
  ['an alert between its records', mixed, { state: 'bad', reason: 'no handshake of TLS' }],
  [
    'records of one byte',
    writeClientHello(['a.example'], { record: 1 }),
    { state: 'bad', reason: 'a ClientHello in too many pieces' },
  ],
  ['nothing', Buffer.alloc(0), { state: 'more' }],
])('%s', (_, bytes, expected) => {
  expect(readClientHello(bytes)).toEqual(expected);
});

describe('whatever comes', () => {
  test('however it is broken up, it is read when it is complete, and not before', () => {
    fc.assert(
      fc.property(fc.integer({ min: 3, max: 300 }), fc.uint8Array({ maxLength: 40 }), (record, behind) => {
        const bytes = writeClientHello(['a.example'], { record });
        for (let length = 0; length < bytes.length; length++) {
          expect(readClientHello(bytes.subarray(0, length))).toEqual({ state: 'more' });
        }
        expect(readClientHello(Buffer.concat([bytes, behind]))).toEqual({ state: 'hello', name: 'a.example' });
      }),
      { numRuns: countRuns(50) },
    );
  }, 600_000);

  test('it is judged without an error, and a name is one that a host can have', () => {
    const changed = fc
      .tuple(fc.nat(hello.length - 1), fc.nat(255), fc.nat(hello.length - 1), fc.nat(255))
      .map(([at, byte, other, second]) => {
        const bytes = Buffer.from(hello);
        bytes[at] = byte;
        bytes[other] = second;
        return bytes;
      });
    const garbage = fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes));
    const framed = fc
      .tuple(garbage, fc.integer({ min: 1, max: 200 }))
      .map(([bytes, record]) => writeRecords(Buffer.concat([Buffer.from([1]), bytes]), record));
    const seen = new Set<string>();
    fc.assert(
      fc.property(fc.oneof(changed, garbage, framed), (bytes) => {
        const result = readClientHello(bytes);
        seen.add(result.state);
        if (result.state === 'hello' && result.name !== undefined) expect(result.name).toMatch(/^[a-z0-9_.-]{1,253}$/);
      }),
      { numRuns: countRuns(5_000) },
    );
    expect([...seen].sort()).toEqual(['bad', 'hello', 'more']);
  }, 600_000);
});
