import { once } from 'node:events';
import {
  type ClientRequest,
  createServer,
  request as httpRequest,
  type IncomingMessage,
  ServerResponse,
} from 'node:http';
import type { Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import type { Connection } from './connection.js';
import { Refusal } from './denial.js';
import { hasBody, listEndToEnd, listRequestHeaders, readHttpTarget, writeHead } from './http-head.js';
import { IDLE_MS, KEEP_ALIVE_MS, MAX_PIPELINED } from './limits.js';
import type { Shared } from './shared.js';

/** One connection with its requests. */
interface Visit {
  connection: Connection;
  /** Of the requests before. */
  turn: Promise<void>;
  waiting: number;
}

/** Plain HTTP: each request goes to the host that it names, if it may, and is written anew for it. */
export class HttpProxy {
  readonly #rules: Shared['rules'];
  readonly #visits = new WeakMap<Socket, Visit>();
  readonly #server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS, insecureHTTPParser: false }).setTimeout(IDLE_MS);

  constructor(rules: Shared['rules']) {
    this.#rules = rules;
    // A property without a type, for clients that end their side before they are answered: `printf ... | nc`.
    Object.assign(this.#server, { httpAllowHalfOpen: true });
    this.#server.on('request', (request, response) =>
      this.#queue(request, (connection) => this.#handle(connection, request, response)),
    );
    this.#server.on('upgrade', (request, _, head) =>
      this.#queue(request, (connection) => this.#upgrade(connection, request, head)),
    );
    this.#server.on('connect', (request) =>
      this.#queue(request, async (connection) => {
        connection.tell({ protocol: 'http', name: request.url ?? '', reason: 'no tunnels are made' });
        refuse(takeResponse(request), 403, 'no tunnels are made');
      }),
    );
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      const connection = this.#visits.get(socket as Socket)?.connection;
      if (error.code?.startsWith('HPE_')) connection?.tell({ protocol: 'http', reason: 'no request of HTTP/1.1' });
      if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
    });
  }

  serve(connection: Connection): void {
    this.#visits.set(connection.near, { connection, turn: Promise.resolve(), waiting: 0 });
    this.#server.emit('connection', connection.near);
    // The server reads what flows, and a socket that was accepted paused does not.
    connection.near.resume();
  }

  /** Answers have the order of the requests anyway. */
  #queue(request: IncomingMessage, work: (connection: Connection) => Promise<void>): void {
    const visit = this.#visits.get(request.socket);
    if (visit === undefined) return;
    const { connection } = visit;
    if (++visit.waiting > MAX_PIPELINED) {
      connection.deny({ protocol: 'http', reason: 'too many requests at once' });
      return;
    }
    const done = () => {
      visit.waiting--;
    };
    // A server that breaks off is heard of as if there were nothing between.
    visit.turn = visit.turn.then(() => work(connection)).then(done, () => connection.reset());
  }

  async #handle(connection: Connection, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const outgoing = await this.#open(connection, request, response, {});
    if (outgoing === undefined) return;
    request.pipe(outgoing);
    const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
    await answer(incoming, request, response);
  }

  /** Of protocols only WebSocket is changed to: behind HTTP/2 hosts could be named that nobody sees. */
  async #upgrade(connection: Connection, request: IncomingMessage, head: Buffer): Promise<void> {
    const response = takeResponse(request);
    if (request.headers.upgrade?.toLowerCase() !== 'websocket') {
      // The parser has left the connection, and with it the body.
      if (hasBody(request)) return refuse(response, 501, 'of protocols only websocket is changed to');
      return this.#handle(connection, request, response);
    }
    const outgoing = await this.#open(connection, request, response, { connection: 'Upgrade', upgrade: 'websocket' });
    if (outgoing === undefined) return;
    outgoing.end();
    const [incoming, far, first = ''] = await new Promise<[IncomingMessage, Socket?, Buffer?]>((resolve, reject) => {
      outgoing.once('upgrade', (...given) => resolve(given));
      outgoing.once('response', (given) => resolve([given])).once('error', reject);
    });
    if (far === undefined) return answer(incoming, request, response);
    connection.near.write(writeHead(incoming), 'latin1');
    connection.near.write(first);
    far.write(head);
    connection.join(far);
  }

  /** The request as it is sent on; undefined when it was refused. */
  async #open(
    connection: Connection,
    request: IncomingMessage,
    response: ServerResponse,
    extra: Record<string, string>,
  ): Promise<ClientRequest | undefined> {
    const { method, url = '', rawHeaders } = request;
    const target = readHttpTarget({ url, rawHeaders, port: connection.port });
    try {
      if ('reason' in target) throw new Refusal({ protocol: 'http', name: target.name, reason: target.reason });
      const { name, path } = target;
      if (!this.#rules().allowsName(name, connection.port)) {
        throw new Refusal({ protocol: 'http', name, reason: 'no rule allows the name' });
      }
      const far = await connection.dialName(name, 'http');
      const headers = { ...listRequestHeaders(request, name), ...extra };
      const outgoing = httpRequest({ createConnection: () => far, setHost: false, method, path, headers });
      // What ends it is seen by who reads the answer.
      outgoing.on('error', () => far.destroy());
      // A connection outlives many requests.
      const end = () => outgoing.destroy();
      connection.near.once('close', end);
      outgoing.once('close', () => connection.near.off('close', end));
      return outgoing;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      connection.tell(error.denial);
      refuse(response, 'status' in target ? target.status : 403, error.message);
      return undefined;
    }
  }
}

/** For a request that the server has let go of. */
function takeResponse(request: IncomingMessage): ServerResponse {
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  response.assignSocket(request.socket);
  response.once('finish', () => request.socket.destroySoon());
  return response;
}

function refuse(response: ServerResponse, status: number, reason: string): void {
  response.writeHead(status, { 'content-type': 'text/plain', connection: 'close' });
  response.end(`${reason}\n`);
}

async function answer(incoming: IncomingMessage, request: IncomingMessage, response: ServerResponse): Promise<void> {
  response.sendDate = false;
  // The rest of a request that was answered early is not read.
  if (!request.complete) response.setHeader('connection', 'close');
  response.writeHead(incoming.statusCode ?? 502, incoming.statusMessage, listEndToEnd(incoming));
  await pipeline(incoming, response);
}
