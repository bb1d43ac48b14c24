import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import {
  type Answer,
  type DecodedPacket,
  decode,
  encode,
  type Packet,
  RECURSION_DESIRED,
  streamDecode,
  streamEncode,
} from 'dns-packet';
import fc from 'fast-check';
import { expect, onTestFinished, test, vi } from 'vitest';
import { countRuns } from '../../support/runs.js';
import { GATEWAY, type Gate, openGate } from './gate.js';

const SERVER = '93.184.215.7';
const hosts = {
  'a.example': [{ address: SERVER }, { address: '93.184.215.8', ttl: 90 }],
  'long.example': [{ address: SERVER, ttl: 86_400 }],
  'deep.www.a.example': [{ address: SERVER }],
  'many.example': Array.from({ length: 60 }, (_, index) => ({ address: `93.184.215.${index}` })),
  'none.example': [],
};
const allow = ['a.example', '*.a.example', 'long.example', 'many.example', 'none.example', 'unknown.example'];

/** Sends datagrams as the session would. */
async function openClient({ dns }: Gate) {
  const socket = createSocket('udp4');
  onTestFinished(() => {
    socket.close();
  });
  const send = (message: Uint8Array) => socket.send(message, (dns.address() as AddressInfo).port, '127.0.0.1');
  return {
    send,
    ask: async (question: Packet): Promise<DecodedPacket & { rcode?: string; length: number }> => {
      send(encode({ type: 'query', id: 7, flags: RECURSION_DESIRED, ...question }));
      const [message] = await once(socket, 'message');
      return { ...decode(message), length: message.length };
    },
  };
}

function show({ answers = [] }: Packet): unknown[] {
  return answers.map((answer) => ('data' in answer ? answer.data : answer));
}

test('allowed names are answered, with what is left of their time to live and no more than five minutes', async () => {
  const gate = await openGate({ allow, hosts });
  const { ask } = await openClient(gate);
  const answer = await ask({ questions: [{ type: 'A', name: 'A.eXample' }] });
  expect(answer).toMatchObject({ id: 7, type: 'response', rcode: 'NOERROR', flag_ra: true, flag_rd: true });
  expect(answer.questions).toEqual([{ type: 'A', name: 'A.eXample', class: 'IN' }]);
  expect(show(answer)).toEqual([SERVER, '93.184.215.8']);
  expect((answer.answers as { ttl: number }[]).map(({ ttl }) => ttl)).toEqual([60, 60]);
  const long = await ask({ questions: [{ type: 'A', name: 'long.example' }] });
  expect((long.answers as { ttl: number }[])[0]?.ttl).toBe(300);
  expect(show(await ask({ questions: [{ type: 'A', name: 'deep.www.a.example' }] }))).toEqual([SERVER]);
  expect(gate.denials).toEqual([]);
});

test.each([
  ['AAAA', 'a.example', 'NOERROR', 0],
  ['HTTPS', 'a.example', 'NOERROR', 0],
  ['TXT', 'a.example', 'NOERROR', 0],
  ['ANY', 'a.example', 'NOERROR', 0],
  ['A', 'none.example', 'NOERROR', 0],
  ['A', 'unknown.example', 'NXDOMAIN', 0],
  ['A', 'example', 'NXDOMAIN', 1],
  ['A', 'xa.example', 'NXDOMAIN', 1],
  ['A', 'a.example.evil.test', 'NXDOMAIN', 1],
  ['TXT', `${'x'.repeat(60)}.tunnel.test`, 'NXDOMAIN', 1],
  ['PTR', '7.215.184.93.in-addr.arpa', 'NXDOMAIN', 1],
  ['A', '127.0.0.1', 'NXDOMAIN', 1],
])('%s of %s is %s', async (type, name, rcode, denials) => {
  const gate = await openGate({ allow, hosts });
  const { ask } = await openClient(gate);
  const answer = await ask({ questions: [{ type: type as 'A', name }] });
  expect(answer).toMatchObject({ rcode, answers: [] });
  expect(gate.denials).toEqual(
    Array.from({ length: denials }, () => expect.objectContaining({ protocol: 'dns', name })),
  );
});

test('a name that leads to an address that is closed is refused as a whole, and told', async () => {
  const closed = [
    '169.254.169.254',
    '127.0.0.1',
    '10.1.2.3',
    '172.31.0.1',
    '192.168.0.1',
    '100.64.0.1',
    '100.100.100.200',
    '0.0.0.0',
    '224.0.0.251',
    '255.255.255.255',
    '198.18.0.1',
    '168.63.129.16',
    '192.0.0.192',
  ];
  const rebound = Object.fromEntries(
    closed.map((address, index) => [`n${index}.a.example`, [{ address: SERVER }, { address }]]),
  );
  const gate = await openGate({ allow: [...allow, '10.0.0.0/8:5432'], hosts: rebound });
  const { ask } = await openClient(gate);
  for (const [index, address] of closed.entries()) {
    const answer = await ask({ questions: [{ type: 'A', name: `n${index}.a.example` }] });
    const isNamed = address === '10.1.2.3';
    expect([address, answer.rcode, show(answer)]).toEqual([
      address,
      isNamed ? 'NOERROR' : 'NXDOMAIN',
      isNamed ? [SERVER, address] : [],
    ]);
  }
  expect(gate.denials.map(({ address }) => address)).toEqual(closed.filter((address) => address !== '10.1.2.3'));
});

test('more than fits is truncated, and had over TCP, where questions may come in pieces and one after the other', async () => {
  const gate = await openGate({ allow, hosts });
  const { ask } = await openClient(gate);
  const questions = [{ type: 'A', name: 'many.example' } as const];
  const plain = await ask({ questions });
  expect(plain).toMatchObject({ flag_tc: true });
  expect([plain.length <= 512, show(plain).length]).toEqual([true, 17]);
  const opt = {
    type: 'OPT',
    name: '.',
    udpPayloadSize: 65_535,
    extendedRcode: 0,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
  };
  const extended = await ask({ questions, additionals: [opt as Answer] });
  expect(extended).toMatchObject({ flag_tc: true });
  expect([extended.length <= 1_232, show(extended).length]).toEqual([true, 42]);

  const socket = await gate.open(GATEWAY, 53);
  const question = streamEncode({ type: 'query', id: 1, questions });
  const other = streamEncode({ type: 'query', id: 2, questions: [{ type: 'A', name: 'evil.test' }] });
  for (const byte of question) socket.write(Buffer.from([byte]));
  socket.end(other);
  const bytes = Buffer.concat(await socket.toArray());
  const first = streamDecode(bytes);
  expect(show(first)).toHaveLength(60);
  expect(streamDecode(bytes.subarray(2 + bytes.readUInt16BE(0)))).toMatchObject({ id: 2, rcode: 'NXDOMAIN' });
  expect(gate.denials).toMatchObject([{ name: 'evil.test' }]);
});

test('what is no question gets no answer', async () => {
  const gate = await openGate({ allow, hosts });
  const { send, ask } = await openClient(gate);
  const question = encode({ type: 'query', id: 3, questions: [{ type: 'A', name: 'a.example' }] });
  const arbitrary = fc.oneof(
    fc.uint8Array({ maxLength: 1_200 }),
    fc
      .uint8Array({ maxLength: 40 })
      .map((bytes) => Buffer.concat([Buffer.from([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]), bytes])),
    fc
      .tuple(fc.nat(question.length - 1), fc.nat(255))
      .map(([at, byte]) => Buffer.from(question).fill(byte, at, at + 1)),
  );
  for (const message of fc.sample(arbitrary, countRuns(300))) send(message);
  send(encode({ type: 'response', id: 4, questions: [{ type: 'A', name: 'a.example' }] }));
  // What was changed only in its name, its type or its id is answered; that it goes on is what counts.
  await vi.waitFor(
    async () => {
      const answer = await ask({ id: 4_242, questions: [{ type: 'A', name: 'a.example' }] });
      expect(answer).toMatchObject({ id: 4_242, rcode: 'NOERROR' });
      expect(answer.answers).toHaveLength(2);
    },
    { timeout: 90_000 },
  );
  const socket = await gate.open(GATEWAY, 53);
  socket.write(Buffer.from([0xff, 0xff, 1, 2, 3]));
  expect(await socket.toArray()).toEqual([]);
});

test('servers of names are asked once for a name, and a name that they do not answer for is a failure', async () => {
  let asked = 0;
  const upstream = createSocket('udp4').bind(0, '127.0.0.1');
  await once(upstream, 'listening');
  onTestFinished(() => {
    upstream.close();
  });
  upstream.on('message', (message, { port }) => {
    const { id = 0, questions = [] } = decode(message);
    asked++;
    const name = questions[0]?.name ?? '';
    const answers: Answer[] = [
      { type: 'CNAME', name, ttl: 300, data: 'cdn.test' },
      { type: 'A', name: 'cdn.test', ttl: 30, data: SERVER },
    ];
    const isKnown = name === 'a.example';
    upstream.send(
      encode({ type: 'response', id, questions, flags: isKnown ? 0 : 2, answers: isKnown ? answers : [] }),
      port,
    );
  });
  const server = `127.0.0.1:${upstream.address().port}`;
  const { openLookup } = await import('../../../src/network/allow/resolver.js');
  const gate = await openGate({ allow, lookup: openLookup([server]).lookup });
  const { ask } = await openClient(gate);
  for (let round = 0; round < 3; round++)
    expect(show(await ask({ questions: [{ type: 'A', name: 'a.example' }] }))).toEqual([SERVER]);
  expect(asked).toBe(1);
  expect(await ask({ questions: [{ type: 'A', name: 'long.example' }] })).toMatchObject({ rcode: 'SERVFAIL' });
});
