import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/** What the test's own internet serves, in a network namespace that is wired to the host. */
export const INTERNET = { gateway: '198.51.100.1', web: '198.51.100.80', other: '198.51.100.81', dns: '198.51.100.53' };
/** A name that its DNS server knows; every other is NXDOMAIN. */
export const NAME = 'web.example.test';

const ip = (...args: string[]) => execFileSync('ip', args, { encoding: 'utf8' });

/** HTTP on two addresses, which answers with the address that it was asked from, and DNS over UDP. */
const servers = `
const { createServer } = require('node:http');
const { createSocket } = require('node:dgram');
const answer = (request, response) => response.end(request.socket.remoteAddress);
const dns = createSocket('udp4', (query, from) => {
  const end = query.indexOf(0, 12) + 5;
  const labels = [];
  for (let at = 12; query[at] > 0; at += query[at] + 1) labels.push(query.toString('latin1', at + 1, at + 1 + query[at]));
  const isKnown = labels.join('.') === '${NAME}' && query.readUInt16BE(end - 4) === 1;
  const header = Buffer.from(query.subarray(0, 12));
  header.writeUInt16BE(labels.join('.') === '${NAME}' ? 0x8180 : 0x8183, 2);
  header.writeUInt16BE(isKnown ? 1 : 0, 6);
  header.writeUInt32BE(0, 8);
  const record = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...'${INTERNET.web}'.split('.').map(Number)]);
  dns.send(Buffer.concat([header, query.subarray(12, end), ...(isKnown ? [record] : [])]), from.port, from.address);
});
const ready = [
  ...['${INTERNET.web}', '${INTERNET.other}'].map((host) => new Promise((done) => createServer(answer).listen(80, host, done))),
  new Promise((done) => dns.bind(53, '${INTERNET.dns}', done)),
];
Promise.all(ready).then(() => console.log('ready'));
`;

export interface Internet {
  /** Runs a program that is outside the host; resolves with what it prints. */
  run(command: string, ...args: string[]): string;
  stop(): Promise<void>;
}

/** Names of kernel objects bear the process, so that runs beside each other do not meet, but for the addresses. */
export async function openInternet(): Promise<Internet> {
  const [namespace, near, far] = ['net', 'near', 'far'].map((name) => `cadre${process.pid}${name}`.slice(-15)) as [
    string,
    string,
    string,
  ];
  ip('netns', 'add', namespace);
  const inside = ['netns', 'exec', namespace];
  try {
    ip('link', 'add', near, 'type', 'veth', 'peer', 'name', far, 'netns', namespace);
    ip('address', 'add', `${INTERNET.gateway}/24`, 'dev', near);
    ip('link', 'set', near, 'up');
    for (const address of [INTERNET.web, INTERNET.other, INTERNET.dns]) {
      ip('-netns', namespace, 'address', 'add', `${address}/24`, 'dev', far);
    }
    ip('-netns', namespace, 'link', 'set', 'lo', 'up');
    ip('-netns', namespace, 'link', 'set', far, 'up');
  } catch (error) {
    ip('netns', 'delete', namespace);
    throw error;
  }
  const child = spawn('ip', [...inside, process.execPath, '--eval', servers], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(createInterface({ input: child.stdout }), 'line');
  return {
    run: (command, ...args) => ip(...inside, command, ...args),
    async stop() {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
      // The wire goes with the namespace that one of its ends is in.
      ip('netns', 'delete', namespace);
    },
  };
}
