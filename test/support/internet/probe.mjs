// Makes attempts at a network from inside a session: node probe.mjs JSON, a list of attempts; prints what came of each.
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { lookup, Resolver } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import { get } from 'node:http';
import { get as getSecurely } from 'node:https';
import { connect } from 'node:net';

/** Each resolves with what a server said, and rejects where none said anything. */
const attempts = {
  /** The server is told by itself, in a header. */
  http: ({ host, port = 80, name = host, path = '/' }) => fetch(get, { host, port, path, headers: { host: name } }),
  tls: ({ host, port = 443, sni, name = sni ?? host, path = '/' }) =>
    fetch(getSecurely, {
      ...{ host, port, path, ca: readFileSync(new URL('authority.pem', import.meta.url)) },
      headers: { host: name },
      // What is asked for is the name's certificate: who has it is the server.
      ...(sni === undefined ? { checkServerIdentity: () => undefined } : { servername: sni }),
    }),
  tcp: ({ host, port }) =>
    new Promise((resolve, reject) => {
      const socket = connect({ host, port }, () => socket.write('ping'));
      socket.once('data', (data) => resolve(String(data)));
      fail(socket, reject);
    }),
  udp: ({ host, port }) =>
    new Promise((resolve, reject) => {
      const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
      socket.once('message', (data) => resolve(String(data)));
      socket.once('error', reject);
      socket.connect(port, host, () => socket.send('ping'));
    }),
  lookup: async ({ host }) => (await lookup(host, { family: 4 })).address,
  /** Asks one server. */
  dns: async ({ server, name, tcp = false }) => {
    if (tcp) return askOverTcp(server, name);
    const resolver = new Resolver({ timeout: 1_000, tries: 2 });
    resolver.setServers([server]);
    return (await resolver.resolve4(name)).join();
  },
};

/** A new connection each time. */
function fetch(request, options) {
  return new Promise((resolve, reject) => {
    const asked = request({ ...options, agent: false }, (response) => {
      const hash = createHash('sha256');
      response.on('data', (part) => hash.update(part)).on('error', reject);
      response.on('end', () => {
        const { statusCode, headers } = response;
        const { 'x-server': server } = headers;
        if (server === undefined) return reject(new Error(`status ${statusCode}`));
        resolve(options.path === '/' ? server : hash.digest('hex'));
      });
    });
    asked.on('error', reject);
  });
}

function askOverTcp(server, name) {
  const question = Buffer.concat([
    Buffer.from([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
    ...name.split('.').map((label) => Buffer.from([label.length, ...Buffer.from(label)])),
    Buffer.from([0, 0, 1, 0, 1]),
  ]);
  return new Promise((resolve, reject) => {
    const socket = connect({ host: server, port: 53 }, () => {
      socket.write(Buffer.concat([Buffer.from([question.length >> 8, question.length & 255]), question]));
    });
    fail(socket, reject);
    socket.once('data', (data) => {
      socket.destroy();
      if (data.readUInt16BE(8) > 0) resolve([...data.subarray(-4)].join('.'));
      else reject(new Error(`no answer, code ${data[5] & 15}`));
    });
  });
}

function fail(socket, reject) {
  socket.on('error', reject);
  socket.on('close', () => reject(new Error('closed')));
}

/** `+` and what a server said, or `-` and why none did. */
async function make({ kind, limitMs, ...options }) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error('nothing came')), limitMs);
  });
  try {
    return `+ ${await Promise.race([attempts[kind](options), late])}`;
  } catch (error) {
    return `- ${error.code ?? error.message}`;
  } finally {
    clearTimeout(timer);
  }
}

process.stdout.write(JSON.stringify(await Promise.all(JSON.parse(process.argv[2]).map(make))), () => process.exit());
