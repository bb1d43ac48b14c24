import type { IncomingMessage } from 'node:http';
import { readWireName } from '../../policy/allow.js';

/** What one request is for: a host and a path, or why it is refused, with a status of HTTP. */
export type HttpTarget = { name: string; path: string } | { status: 400 | 403; reason: string; name: string };

interface Asked {
  url: string;
  /** As they came: names and values in turn. */
  rawHeaders: readonly string[];
  port: number;
}

/** The host that a request names, which it has to name once, and in all places alike (RFC 9112, section 3.2). */
export function readHttpTarget({ url, rawHeaders, port }: Asked): HttpTarget {
  const [host = '', ...others] = rawHeaders.filter(
    (_, index) => rawHeaders[index - 1]?.toLowerCase() === 'host' && index % 2 === 1,
  );
  if (host === '' || others.length > 0) return { status: 400, name: host, reason: 'a request names its host once' };
  const [, authority, rest = ''] = /^http:\/\/([^/?#]*)(.*)$/i.exec(url) ?? [];
  const path = authority === undefined ? url : rest.startsWith('/') ? rest : `/${rest}`;
  if (path !== '*' && !path.startsWith('/'))
    return { status: 400, name: host, reason: 'a request is for a path, or for one of http' };
  const asked = readAuthority(host);
  if (asked === undefined || asked.port !== port)
    return { status: 403, name: host, reason: 'no name of a host on this port' };
  const other = authority === undefined ? asked : readAuthority(authority);
  if (other?.name !== asked.name || other.port !== asked.port) {
    return { status: 400, name: host, reason: 'a request names one host' };
  }
  return { name: asked.name, path };
}

function readAuthority(text: string): { name: string; port: number } | undefined {
  const [, host = '', port = '80'] = /^([^:]+)(?::(\d{1,5}))?$/.exec(text) ?? [];
  const name = readWireName(host);
  return name === undefined ? undefined : { name, port: Number(port) };
}

/** Of one connection alone (RFC 9110, section 7.6.1); the first two are answered, or set for the request that is written. */
const hopByHop = [
  'expect',
  'host',
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];

/** What is passed on of a head, but what holds for one connection alone. */
export function listEndToEnd({ rawHeaders, headers }: Pick<IncomingMessage, 'rawHeaders' | 'headers'>) {
  const named = (headers.connection ?? '').toLowerCase().split(/[\s,]+/);
  const kept: Record<string, string[]> = {};
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const [name = '', value = ''] = rawHeaders.slice(index, index + 2);
    const key = name.toLowerCase();
    // What frames the body is nobody's to name.
    if (hopByHop.includes(key) || (named.includes(key) && key !== 'content-length')) continue;
    kept[key] = [...(kept[key] ?? []), value];
  }
  return kept;
}

/** With the body framed as it came: a request without either has none (RFC 9112, section 6.3). */
export function listRequestHeaders(request: IncomingMessage, name: string): Record<string, string[]> {
  const isChunked = request.headers['transfer-encoding'] !== undefined;
  return { host: [name], ...listEndToEnd(request), ...(isChunked ? { 'transfer-encoding': ['chunked'] } : {}) };
}

/** Whether something comes behind the head of a request. */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/** The head of an answer as it came. */
export function writeHead({ statusCode, statusMessage, rawHeaders }: IncomingMessage): string {
  const values = rawHeaders.map((text, index) => (index % 2 === 0 ? `${text}: ` : `${text}\r\n`));
  return `HTTP/1.1 ${statusCode} ${statusMessage}\r\n${values.join('')}\r\n`;
}
