import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { type Gate, openGate, readAll } from './gate.js';
import { writeClientHello } from './hello.js';

const SERVER = '93.184.215.7';
/** Where the session says it goes: what counts is the name that it says then. */
const ELSEWHERE = '93.184.215.99';
const hosts = {
  'a.example': [{ address: SERVER }],
  'metadata.example': [{ address: '169.254.169.254' }],
  'refused.example': [{ address: '93.184.215.66' }],
};
const allow = ['a.example', '*.a.example:8443', 'metadata.example', 'refused.example'];

/** Says what it got first, and ends with the client. */
const echo = () => createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));

async function openServed(more = {}): Promise<Gate> {
  const gate = await openGate({ allow, hosts, ...more });
  for (const port of [443, 8443]) await gate.serve(SERVER, port, echo());
  return gate;
}

async function exchange(socket: Socket, bytes: Buffer): Promise<Buffer> {
  socket.end(bytes);
  return Buffer.concat(await socket.toArray().catch(() => [Buffer.from('reset')]));
}

test.each([[4], [7], [16_384]])(
  'an allowed name is reached wherever the session thinks it is, in records of %i',
  async (record) => {
    const { open, denials } = await openServed();
    const hello = Buffer.concat([writeClientHello(['A.example'], { record }), Buffer.from('early data')]);
    expect(await exchange(await open(ELSEWHERE, 443), hello)).toEqual(hello);
    const slow = await open(ELSEWHERE, 443);
    slow.setNoDelay(true);
    for (const byte of hello) {
      slow.write(Buffer.from([byte]));
      if (byte === 7) await sleep(0);
    }
    expect(await exchange(slow, Buffer.alloc(0))).toEqual(hello);
    expect(denials).toEqual([]);
  },
);

const untold = { protocol: 'tls', address: ELSEWHERE };

test.each([
  [443, writeClientHello(['evil.test']), { ...untold, name: 'evil.test', reason: 'no rule allows the name' }],
  [443, writeClientHello(['www.a.example']), { ...untold, name: 'www.a.example', reason: 'no rule allows the name' }],
  [8443, writeClientHello(['evil.test']), { ...untold, name: 'evil.test', reason: 'no rule allows the name' }],
  [443, writeClientHello([]), { ...untold, reason: 'the ClientHello names no host' }],
  [443, writeClientHello(['a.example', 'evil.test']), { ...untold, reason: 'more than one name' }],
  [443, Buffer.from('GET / HTTP/1.1\r\nHost: a.example\r\n\r\n'), { ...untold, reason: 'no handshake of TLS' }],
  [443, Buffer.alloc(0), { ...untold, reason: 'no ClientHello came' }],
  [443, writeClientHello(['a.example']).subarray(0, 60), { ...untold, reason: 'no ClientHello came' }],
  [
    443,
    writeClientHello(['metadata.example']),
    {
      ...untold,
      name: 'metadata.example',
      address: '169.254.169.254',
      reason: 'the name leads to an address that is closed',
    },
  ],
  [8443, Buffer.from('SSH-2.0-x\r\n'), { ...untold, reason: 'no handshake of TLS' }],
])('port %i, %j is reset and told', async (port, bytes, denial) => {
  const { open, denials } = await openServed();
  expect(String(await exchange(await open(ELSEWHERE, port), bytes))).toBe('reset');
  expect(denials).toEqual([expect.objectContaining({ port, ...denial })]);
});

test('a ClientHello that never ends is given up', async () => {
  const { open, denials } = await openServed();
  const socket = await open(ELSEWHERE, 443);
  const record = Buffer.concat([Buffer.from([22, 3, 1, 0x40, 0]), Buffer.alloc(16_384)]);
  record.writeUInt32BE(0x01ff_ffff, 5);
  socket.write(Buffer.from(record));
  record.writeUInt32BE(0, 5);
  for (let sent = 0; sent < 5; sent++) socket.write(record);
  expect(await readAll(socket)).toMatch(/ECONNRESET|EPIPE/);
  expect(denials).toMatchObject([{ reason: 'a ClientHello that does not end' }]);
});

test.each([
  '169.254.169.254',
  '127.0.0.1',
  '10.0.0.1',
  '100.100.100.200',
  '0.0.0.0',
  '198.18.0.1',
  '::ffff:169.254.169.254',
])('%s is closed, whatever is said there', async (address) => {
  const { open, denials } = await openServed({ allow: [...allow, '0.0.0.0/0'] });
  for (const port of [80, 443, 5432]) expect(await readAll(await open(address, port))).toBe('ECONNRESET');
  expect(denials.map(({ reason }) => reason)).toEqual(Array.from({ length: 3 }, () => 'the address is closed'));
});

test('an address that is closed is reached where a rule names it, and through a name then too', async () => {
  const named = '10.0.0.7';
  const gate = await openGate({
    allow: ['10.0.0.0/24:443', 'in.example:443', '169.254.0.0/16'],
    hosts: { 'in.example': [{ address: named }] },
  });
  await gate.serve(named, 443, echo());
  expect(String(await exchange(await gate.open(named, 443), Buffer.from('bare')))).toBe('bare');
  const hello = writeClientHello(['in.example']);
  expect(await exchange(await gate.open(ELSEWHERE, 443), hello)).toEqual(hello);
  // The whole of link-local is not yet where credentials are.
  expect(await readAll(await gate.open('169.254.169.254', 80))).toBe('ECONNRESET');
  expect(await readAll(await gate.open(named, 80))).toBe('ECONNRESET');
  expect(gate.denials).toHaveLength(2);
});

test('a name that nobody answers at is reset, and no denial', async () => {
  const { open, denials } = await openServed();
  expect(String(await exchange(await open(ELSEWHERE, 443), writeClientHello(['refused.example'])))).toBe('reset');
  expect(denials).toEqual([]);
});

describe('bytes under way', () => {
  test('100 MiB arrive as they were, both ways', async () => {
    const { open } = await openServed();
    const socket = await open(ELSEWHERE, 443);
    const hello = writeClientHello(['a.example']);
    const block = randomBytes(1024 * 1024);
    const [sent, received] = [createHash('sha256'), createHash('sha256')];
    const send = async () => {
      for (let index = 0; index <= 100; index++) {
        const bytes = index === 0 ? hello : block;
        sent.update(bytes);
        if (!socket.write(bytes)) await once(socket, 'drain');
      }
      socket.end();
    };
    let length = 0;
    const receive = async () => {
      for await (const chunk of socket) {
        length += chunk.length;
        received.update(chunk);
      }
    };
    await Promise.all([send(), receive()]);
    expect(length).toBe(hello.length + 100 * block.length);
    expect(received.digest('hex')).toBe(sent.digest('hex'));
  }, 190_000);

  test('a reader that is slow holds up the server, not memory', async () => {
    const gate = await openGate({ allow, hosts });
    let sent = 0;
    const block = Buffer.alloc(1024 * 1024);
    const server = createServer((socket) => {
      const write = () => {
        for (let isTaken = true; isTaken && sent < 256; sent++) isTaken = socket.write(block);
      };
      socket.on('drain', write).resume();
      write();
    });
    await gate.serve(SERVER, 443, server);
    const socket = await gate.open(ELSEWHERE, 443);
    socket.write(writeClientHello(['a.example']));
    await vi.waitUntil(() => sent > 0, 90_000);
    let before = -1;
    // Until nothing moves any more.
    while (before !== sent) {
      before = sent;
      await sleep(300);
    }
    expect(sent).toBeLessThan(64);
    let length = 0;
    for await (const chunk of socket) {
      length += chunk.length;
      if (length >= 128 * block.length) break;
    }
    expect(sent).toBeGreaterThan(100);
  }, 190_000);

  test('a server that breaks off is heard of, and what it said before its end arrives', async () => {
    const gate = await openGate({ allow, hosts });
    let far: Socket | undefined;
    const server = createServer((socket) => {
      far = socket;
      socket.once('data', () => socket.write('half'));
    });
    await gate.serve(SERVER, 443, server);
    const socket = await gate.open(ELSEWHERE, 443);
    socket.write(writeClientHello(['a.example']));
    expect(String((await once(socket, 'data'))[0])).toBe('half');
    far?.resetAndDestroy();
    expect(await readAll(socket)).toBe('ECONNRESET');
  });
});

describe('rules that change', () => {
  test('end what they no longer allow, at once, and leave the rest', async () => {
    const gate = await openServed({ allow: [...allow, `${SERVER}:8443`] });
    const byName = await gate.open(ELSEWHERE, 443);
    const byAddress = await gate.open(SERVER, 8443);
    byName.write(writeClientHello(['a.example']));
    byAddress.write('hello');
    await Promise.all([once(byName, 'data'), once(byAddress, 'data')]);
    gate.enforcer.update([`${SERVER}:8443`]);
    expect(await readAll(byName)).toBe('ECONNRESET');
    byAddress.write('still');
    expect(String((await once(byAddress, 'data'))[0])).toBe('still');
    expect(await readAll(await gate.open(ELSEWHERE, 443))).toBe('ECONNRESET');
    gate.enforcer.update(allow);
    expect(await readAll(byAddress)).toBe('ECONNRESET');
    const hello = writeClientHello(['a.example']);
    expect(await exchange(await gate.open(ELSEWHERE, 443), hello)).toEqual(hello);
    const reason = 'the rules have changed';
    expect(gate.denials.filter((denial) => denial.reason === reason)).toHaveLength(2);
  });

  test('an enforcer that is closed lets nothing through', async () => {
    const gate = await openServed();
    const socket = await gate.open(ELSEWHERE, 443);
    socket.write(writeClientHello(['a.example']));
    await once(socket, 'data');
    gate.enforcer.close();
    gate.enforcer.close();
    expect(await readAll(socket)).toBe('ECONNRESET');
    expect(await readAll(await gate.open(ELSEWHERE, 443))).toBe('ECONNRESET');
  });
});
