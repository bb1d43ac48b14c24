// What runs in the namespace of a test's internet: web, TLS, DNS and echo servers on each of its addresses. It ends with
// its channel, whatever becomes of the parent, and the namespace with it.
import { createCipheriv } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { createServer as createWeb } from 'node:http';
import { createServer as createSecureWeb } from 'node:https';
import { createServer } from 'node:net';

const heard = [];
/** By name: `{ addresses, ttl }`. Others are NXDOMAIN. */
let records = {};

process.on('disconnect', () => process.exit());
process.on('message', async ({ verb, ...given }) => {
  if (verb === 'records') records = given.records;
  if (verb === 'serve') await serve(given);
  process.send({ heard: verb === 'take' ? heard.splice(0) : [] });
});
process.send({ heard: [] });

/** IPv4 has all services; of IPv6 the web alone. */
async function serve({ addresses, six, key, certificate }) {
  await Promise.all([
    ...[...addresses, six].filter(Boolean).map((host) => listen(createWeb(answer), 80, host)),
    ...addresses.flatMap((host) => [
      listen(createSecureWeb({ key, cert: certificate }, answer), 443, host),
      listen(createServer(echo), 7007, host),
      listen(createServer(answerStream), 53, host),
      listenDatagrams(53, host, (query, reply) => reply(answerQuery(query, host, 'udp'))),
      listenDatagrams(9999, host, (data, reply) => {
        heard.push(`udp ${host} ${data}`);
        reply(data);
      }),
    ]),
  ]);
}

const listen = (server, port, host) => new Promise((resolve) => server.listen(port, host, resolve));

function listenDatagrams(port, host, take) {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  socket.on('message', (data, from) => take(data, (answer) => socket.send(answer, from.port, from.address)));
  return new Promise((resolve) => socket.bind(port, host, resolve));
}

/** The body is the client's address; `/bytes/N` is N bytes that look random. */
function answer(request, response) {
  const { localAddress, encrypted, servername } = request.socket;
  heard.push(`${encrypted ? 'tls' : 'http'} ${localAddress} ${servername ?? request.headers.host}`);
  response.setHeader('x-server', localAddress);
  const [, size] = /^\/bytes\/(\d+)$/.exec(request.url) ?? [];
  if (size === undefined) return response.end(request.socket.remoteAddress);
  response.setHeader('content-length', size);
  sendBytes(response, Number(size));
}

/** See `hashBytes`. */
function sendBytes(response, size) {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16));
  const zeros = Buffer.alloc(65_536);
  let left = size;
  const send = () => {
    while (left > 0) {
      const part = cipher.update(zeros.subarray(0, Math.min(left, zeros.length)));
      left -= part.length;
      if (!response.write(part)) return response.once('drain', send);
    }
    response.end();
  };
  send();
}

function echo(socket) {
  heard.push(`tcp ${socket.localAddress}`);
  socket.on('error', () => socket.destroy());
  socket.pipe(socket);
}

/** RFC 1035, section 4.2.2: a length of two bytes comes first. */
function answerStream(socket) {
  let data = Buffer.alloc(0);
  socket.on('error', () => socket.destroy());
  socket.on('data', (part) => {
    data = Buffer.concat([data, part]);
    if (data.length < 2 || data.length < 2 + data.readUInt16BE(0)) return;
    const answered = answerQuery(data.subarray(2, 2 + data.readUInt16BE(0)), socket.localAddress, 'tcp');
    const length = Buffer.alloc(2);
    length.writeUInt16BE(answered.length);
    socket.end(Buffer.concat([length, answered]));
  });
}

function answerQuery(query, host, transport) {
  const end = query.indexOf(0, 12) + 5;
  const labels = [];
  for (let at = 12; query[at] > 0; at += query[at] + 1)
    labels.push(query.toString('latin1', at + 1, at + 1 + query[at]));
  const name = labels.join('.').toLowerCase();
  heard.push(`dns ${host} ${transport} ${name}`);
  const known = records[name];
  const isAddress = query.readUInt16BE(end - 4) === 1;
  const found = isAddress ? (known?.addresses ?? []) : [];
  const header = Buffer.from(query.subarray(0, 12));
  header.writeUInt16BE(known === undefined ? 0x8183 : 0x8180, 2);
  header.writeUInt16BE(found.length, 6);
  header.writeUInt32BE(0, 8);
  const answers = found.map((address) => {
    const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ...address.split('.').map(Number)]);
    record.writeUInt32BE(known.ttl, 6);
    return record;
  });
  return Buffer.concat([header, query.subarray(12, end), ...answers]);
}
