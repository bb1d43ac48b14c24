import type { RemoteInfo, Socket as UdpSocket } from 'node:dgram';
import type { Socket } from 'node:net';
import {
  type Answer,
  decode,
  encode,
  type Packet,
  RECURSION_AVAILABLE,
  RECURSION_DESIRED,
  TRUNCATED_RESPONSE,
} from 'dns-packet';
import { readWireName } from '../../policy/allow.js';
import { OPENING_MS, QUESTION_RATE, Rate } from './limits.js';
import type { Shared } from './shared.js';

/** Of a message without EDNS (RFC 1035, section 2.3.4), and the most with it that passes unbroken everywhere. */
const UDP_SIZE = 512;
const EDNS_SIZE = 1_232;
const TCP_SIZE = 65_535;
/** A question is a header and one name. */
const MAX_QUESTION = 1_024;
const HEADER = 12;
const codes = { none: 0, failed: 2, unknown: 3 } as const;

/** Answers what a session asks over UDP, until the returned function is called. */
export function serveDatagrams(socket: UdpSocket, shared: Shared): () => void {
  const rate = new Rate(QUESTION_RATE);
  let isOpen = true;
  const serve = async (message: Buffer, { address, port }: RemoteInfo) => {
    if (port === 0 || !rate.take()) return;
    // A message that the library reads and cannot write again gets no answer, and ends nothing.
    const answer = await answerQuestion(message, shared, UDP_SIZE).catch(() => undefined);
    // What cannot be sent was lost on the way: the session asks again.
    if (answer !== undefined && isOpen) socket.send(answer, port, address, () => {});
  };
  socket.on('message', serve);
  return () => {
    isOpen = false;
    socket.off('message', serve);
  };
}

/** Answers what a session asks over one connection (RFC 7766), one question after the other. */
export async function serveStream(socket: Socket, shared: Shared): Promise<void> {
  const rate = new Rate(QUESTION_RATE);
  socket.setTimeout(OPENING_MS, () => socket.destroy());
  let bytes = Buffer.alloc(0);
  for await (const chunk of socket) {
    bytes = Buffer.concat([bytes, chunk as Buffer]);
    while (bytes.length >= 2 && bytes.length >= 2 + bytes.readUInt16BE(0)) {
      const end = 2 + bytes.readUInt16BE(0);
      const answer = rate.take() ? await answerQuestion(bytes.subarray(2, end), shared, TCP_SIZE) : undefined;
      // What is no question is no reason to stay.
      if (answer === undefined) return;
      const length = Buffer.alloc(2);
      length.writeUInt16BE(answer.length);
      socket.write(Buffer.concat([length, answer]));
      bytes = bytes.subarray(end);
    }
    if (bytes.length >= 2 && bytes.readUInt16BE(0) > MAX_QUESTION) return;
  }
  socket.end();
}

/** Undefined for what is no question. */
async function answerQuestion(message: Buffer, shared: Shared, size: number): Promise<Buffer | undefined> {
  const question = readQuestion(message);
  if (question === undefined) return undefined;
  const { id, name, type, edns } = question;
  const { code, addresses = [], ttl = 0 } = await resolve(name, type, shared);
  if (!isEchoed(name)) return undefined;
  const most = size === TCP_SIZE ? size : edns === undefined ? size : Math.min(EDNS_SIZE, Math.max(UDP_SIZE, edns));
  const answer: Packet = {
    type: 'response',
    id,
    flags: RECURSION_AVAILABLE | (question.flags & RECURSION_DESIRED) | code,
    questions: [{ name, type: type as 'A' }],
    answers: addresses.map((data): Answer => ({ type: 'A', name, ttl, data })),
    additionals: edns === undefined ? [] : [describeEdns()],
  };
  const bytes = encode(answer);
  if (bytes.length <= most) return bytes;
  // Who does not ask again over TCP has as many as fit (RFC 2181, section 9, leaves it to the asker).
  const flags = (answer.flags ?? 0) | TRUNCATED_RESPONSE;
  const bare = encode({ ...answer, flags, answers: [] }).length;
  const fitting = Math.floor((most - bare) / ((bytes.length - bare) / addresses.length));
  return encode({ ...answer, flags, answers: answer.answers?.slice(0, fitting) });
}

/** Whether the name can be written as it was read: labels may hold any byte (RFC 2181, section 11), and a dot too. */
function isEchoed(name: string): boolean {
  return /^[\x21-\x7e]+$/.test(name) && name.split('.').every((label) => label.length > 0 && label.length < 64);
}

function describeEdns(): Answer {
  return {
    type: 'OPT',
    name: '.',
    udpPayloadSize: EDNS_SIZE,
    extendedRcode: 0,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
  };
}

/** One question of class IN, with nothing beside it but what EDNS brings. */
function readQuestion(message: Buffer) {
  if (message.length < HEADER || message.length > MAX_QUESTION) return undefined;
  // An answer, or another operation than a query (RFC 1035, section 4.1.1).
  if ((message.readUInt16BE(2) & 0xf800) !== 0) return undefined;
  try {
    const { id = 0, flags = 0, questions = [], answers = [], authorities = [], additionals = [] } = decode(message);
    const [question] = questions;
    const isPlain = questions.length === 1 && answers.length + authorities.length === 0 && additionals.length <= 1;
    if (question === undefined || !isPlain || (question.class ?? 'IN') !== 'IN') return undefined;
    const edns = additionals.find((record) => record.type === 'OPT');
    return { id, flags, name: question.name, type: question.type as string, edns: edns?.udpPayloadSize };
  } catch {
    return undefined;
  }
}

async function resolve(text: string, type: string, { rules, names, pins, report }: Shared) {
  const name = readWireName(text);
  if (name === undefined || !rules().allowsName(name)) {
    report({ protocol: 'dns', name: text, reason: `no rule allows the name, asked for with type ${type}` });
    return { code: codes.unknown };
  }
  // A session has no IPv4 beside it, and what a record of another type says would be no rule's.
  if (type !== 'A') return { code: codes.none };
  const found = await names.resolve(name);
  if (found.status !== 'found') return { code: codes[found.status] };
  const closed = found.addresses.find((address) => !rules().isReachable(address));
  if (closed !== undefined) {
    report({ protocol: 'dns', name, address: closed, reason: 'the name leads to an address that is closed' });
    return { code: codes.unknown };
  }
  for (const address of found.addresses) pins.add(address, name, found.expiresAt);
  const ttl = Math.max(0, Math.round((found.expiresAt - performance.now()) / 1_000));
  return { code: 0, addresses: found.addresses, ttl };
}
