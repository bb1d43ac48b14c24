import { Agent, request } from 'node:http';

/** docker's Engine API over its unix socket, on connections that are kept. */
export class DockerApi {
  #socketPath;
  // As many as docker is asked for at once.
  #agent = new Agent({ keepAlive: true, maxSockets: 64 });

  constructor(socketPath) {
    this.#socketPath = socketPath;
  }

  /** One call; rejects for any status that is not a success, with docker's own words. */
  async call(method, path, body) {
    const { response } = await this.#send(method, path, body, {});
    const chunks = [];
    for await (const chunk of response) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    if ((response.statusCode ?? 500) >= 400) throw new Error(`${method} ${path}: ${response.statusCode} ${text}`);
    return text.startsWith('{') ? JSON.parse(text) : text;
  }

  /** A call whose connection turns into a raw stream in both directions. */
  async hijack(path, body) {
    const headers = { connection: 'Upgrade', upgrade: 'tcp' };
    const { response, socket, head } = await this.#send('POST', path, body, headers);
    if (socket) return { socket, head };
    response.resume();
    throw new Error(`POST ${path}: ${response.statusCode}`);
  }

  #send(method, path, body, headers) {
    // Already in pieces or text: an image archive is sent as it is.
    const data = Buffer.isBuffer(body) ? body : body && JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const outgoing = request({
        socketPath: this.#socketPath,
        agent: headers.upgrade ? false : this.#agent,
        method,
        path: `/v1.41${path}`,
        headers: {
          ...headers,
          ...(data ? { 'content-type': Buffer.isBuffer(body) ? 'application/x-tar' : 'application/json' } : {}),
          'content-length': data ? Buffer.byteLength(data) : 0,
        },
      });
      outgoing.on('error', reject);
      outgoing.on('response', (response) => resolve({ response }));
      outgoing.on('upgrade', (response, socket, head) => resolve({ response, socket, head }));
      outgoing.end(data);
    });
  }
}
