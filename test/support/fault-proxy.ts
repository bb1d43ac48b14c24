/** A plain HTTP proxy on a loopback port in front of one registry: it passes on, counts, and spoils as it is told. */
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

/** What becomes of one answer. What is not given is passed on as it is. */
export interface Fault {
  /** Instead of asking the registry. */
  answer?: { status: number; headers?: Record<string, string>; body?: string };
  /** The body and its type are rewritten as a whole. */
  rewrite?: (body: Buffer, headers: Record<string, string>) => Buffer;
  /** The connection breaks after so many bytes of the body. */
  cutAfter?: number;
  /** The byte at this place of the body is another one. */
  flipAt?: number;
  /** The request for a part is answered with the whole. */
  ignoreRange?: boolean;
  /** Bytes of the body a second. */
  bytesPerSecond?: number;
  /** Never answers. */
  silent?: boolean;
}

export interface SeenRequest {
  method: string;
  url: string;
  range: string | undefined;
  authorization: string | undefined;
  /** Who asks, by its own word. */
  agent: string;
}

export interface FaultProxy {
  readonly host: string;
  /** In their order. */
  readonly seen: SeenRequest[];
  /** Bytes of bodies of blobs that were passed on. */
  blobBytes: number;
  /** Asked for each request. */
  fault: (seen: SeenRequest) => Fault | undefined;
  reset(): void;
  stop(): Promise<void>;
}

export async function startFaultProxy(target: string): Promise<FaultProxy> {
  const server = createServer((incoming, outgoing) => {
    relay(proxy, target, incoming, outgoing).catch(() => outgoing.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const proxy: FaultProxy = {
    host: `127.0.0.1:${port}`,
    seen: [],
    blobBytes: 0,
    fault: () => undefined,
    reset() {
      proxy.seen.length = 0;
      proxy.blobBytes = 0;
      proxy.fault = () => undefined;
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return proxy;
}

async function relay(proxy: FaultProxy, target: string, incoming: IncomingMessage, outgoing: ServerResponse) {
  const { method = 'GET', url = '/', headers } = incoming;
  const seen = {
    method,
    url,
    range: headers.range,
    authorization: headers.authorization,
    agent: headers['user-agent'] ?? '',
  };
  proxy.seen.push(seen);
  const fault = proxy.fault(seen) ?? {};
  if (fault.silent) return;
  if (fault.answer !== undefined) {
    incoming.resume();
    outgoing.writeHead(fault.answer.status, fault.answer.headers).end(fault.answer.body);
    return;
  }
  const { range: _, ...others } = headers;
  const upstream = await ask(target, incoming, fault.ignoreRange ? others : headers);
  const given = { ...upstream.headers } as Record<string, string>;
  if (fault.rewrite !== undefined) {
    const chunks: Buffer[] = [];
    for await (const chunk of upstream) chunks.push(chunk as Buffer);
    const body = fault.rewrite(Buffer.concat(chunks), given);
    outgoing.writeHead(upstream.statusCode ?? 500, { ...given, 'content-length': String(body.length) }).end(body);
    return;
  }
  outgoing.writeHead(upstream.statusCode ?? 500, given);
  outgoing.flushHeaders();
  let at = 0;
  for await (const whole of upstream) {
    for (const chunk of split(whole as Buffer, fault.bytesPerSecond)) {
      if (outgoing.destroyed) return upstream.destroy();
      const left = fault.cutAfter === undefined ? chunk.length : fault.cutAfter - at;
      const data = Buffer.from(chunk.subarray(0, Math.max(0, left)));
      const flip = (fault.flipAt ?? -1) - at;
      if (flip >= 0 && flip < data.length) data[flip] = (data[flip] ?? 0) ^ 0xff;
      at += data.length;
      if (url.includes('/blobs/') && method === 'GET') proxy.blobBytes += data.length;
      const drained = outgoing.write(data);
      if (data.length < chunk.length) {
        // What was written is on its way before the connection breaks.
        await sleep(20);
        outgoing.destroy();
        return upstream.destroy();
      }
      if (!drained) await waitForDrain(outgoing);
      if (fault.bytesPerSecond !== undefined) await sleep((data.length / fault.bytesPerSecond) * 1000);
    }
  }
  outgoing.end();
}

function ask(target: string, incoming: IncomingMessage, headers: IncomingMessage['headers']): Promise<IncomingMessage> {
  const { method, url } = incoming;
  const [hostname, port] = target.split(':');
  return new Promise((resolve, reject) => {
    const upstream = request({ hostname, port, method, path: url, headers, agent: false }, resolve);
    upstream.once('error', reject);
    incoming.pipe(upstream);
  });
}

function* split(data: Buffer, bytesPerSecond: number | undefined): Generator<Buffer> {
  const step = bytesPerSecond === undefined ? data.length : Math.max(1, Math.floor(bytesPerSecond / 20));
  for (let at = 0; at < data.length; at += step) yield data.subarray(at, at + step);
}

function waitForDrain(outgoing: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      outgoing.off('drain', end).off('close', end);
      resolve();
    };
    outgoing.on('drain', end).on('close', end);
  });
}
