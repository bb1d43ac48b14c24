import { isIPv4 } from 'node:net';
import { type Hello, isTls, readClientHello } from './client-hello.js';
import type { Connection } from './connection.js';
import { serveStream } from './dns.js';
import type { HttpProxy } from './http-proxy.js';
import { MAX_HELLO, OPENING_MS } from './limits.js';
import { judgeOpening } from './opening.js';
import type { Shared } from './shared.js';

const DNS = 53;
const HTTP = 80;
const TLS = 443;

/** Decides what one connection of a session leads to. */
export async function route(
  connection: Connection,
  { gateway, http, ...shared }: Shared & { gateway: string; http: HttpProxy },
): Promise<void> {
  const { near, address, port } = connection;
  const rules = shared.rules();
  if (!isIPv4(address)) return connection.deny({ reason: 'a session has no IPv6' });
  if (address === gateway) {
    if (port === DNS) return serveStream(near, shared);
    return connection.deny({ reason: 'the gateway serves names alone' });
  }
  if (rules.allowsAddress(address, port)) {
    const far = await connection.dial([address], (now) => now.allowsAddress(address, port));
    return connection.join(far);
  }
  if (!rules.isReachable(address, port)) return connection.deny({ reason: 'the address is closed' });
  if (!rules.hasNamesAt(port)) return connection.deny({ reason: 'no rule allows the address and port' });
  if (port === HTTP) return http.serve(connection);
  const pinned = shared.pins.list(address).filter((name) => rules.allowsName(name, port));
  if (port === TLS || pinned.length === 0) return routeTls(connection, shared);
  return routePinned(connection, pinned);
}

/** By the name that the client says, which is resolved here: the address that it chose counts for nothing. */
async function routeTls(connection: Connection, shared: Shared): Promise<void> {
  const { near, port } = connection;
  const hello = await judgeOpening(near, judgeHello, OPENING_MS);
  if (hello === undefined) return connection.deny({ protocol: 'tls', reason: 'no ClientHello came' });
  if (hello.state === 'bad') return connection.deny({ protocol: 'tls', reason: hello.reason });
  const { name } = hello;
  if (name === undefined) return connection.deny({ protocol: 'tls', reason: 'the ClientHello names no host' });
  if (!shared.rules().allowsName(name, port)) {
    return connection.deny({ protocol: 'tls', name, reason: 'no rule allows the name' });
  }
  connection.join(await connection.dialName(name, 'tls'));
}

/** Undefined as long as more has to come. */
function judgeHello(bytes: Buffer): Exclude<Hello, { state: 'more' }> | undefined {
  const hello = readClientHello(bytes);
  if (hello.state !== 'more') return hello;
  return bytes.length > MAX_HELLO ? { state: 'bad', reason: 'a ClientHello that does not end' } : undefined;
}

/** To the address that names have led to; what begins as TLS has to name one of them. */
async function routePinned(connection: Connection, names: readonly string[]): Promise<void> {
  const { near, address, port } = connection;
  const far = await connection.dial([address], (rules) => {
    return rules.isReachable(address, port) && names.some((name) => rules.allowsName(name, port));
  });
  // The server of another protocol may speak first: it is heard until the client speaks.
  connection.hear(far);
  const hello = await judgeOpening(near, (bytes) => (isTls(bytes) ? judgeHello(bytes) : { state: 'other' as const }));
  if (hello?.state === 'bad') return connection.deny({ protocol: 'tls', reason: hello.reason });
  if (hello?.state === 'hello' && !names.some((name) => name === hello.name)) {
    return connection.deny({
      protocol: 'tls',
      ...(hello.name === undefined ? {} : { name: hello.name }),
      reason: 'no rule leads here by that name',
    });
  }
  near.pipe(far);
}
