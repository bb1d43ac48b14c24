/** What a session tries to get past an allowlist, each with what it gets where nothing is closed. */

import type { Internet, NameRecord } from '../support/internet/internet.js';
import type { Attempt } from '../support/internet/prober.js';
import { relax } from '../support/patience.js';

const METADATA = '169.254.169.254';
/** What the session asks its own resolver for, to tell somebody what is in the labels. */
const TUNNEL = 'mnuwk3dfnz2c2ylqme.tunnel.denied.test';
const TUNNEL_BELOW = 'onswg4tfoq.web.allowed.test';

export const ALLOWED = [
  'web.allowed.test',
  'echo.allowed.test:7007',
  'rebinding.allowed.test',
  'metadata.allowed.test',
];

export function listRecords({ web, other, internal }: Internet): Record<string, NameRecord> {
  const at = (...addresses: string[]): NameRecord => ({ addresses, ttl: 0 });
  return {
    'web.allowed.test': at(web),
    'echo.allowed.test': { addresses: [web], ttl: 60 },
    'rebinding.allowed.test': at(internal),
    'metadata.allowed.test': at(METADATA),
    'other.denied.test': at(other),
    'doh.denied.test': at(other),
    [TUNNEL]: at(other),
    [TUNNEL_BELOW]: at(other),
  };
}

export interface Attack {
  name: string;
  attempt: Attempt;
  /** Where nothing is closed. */
  gets: string;
  /** What the audit log tells of it, at least. */
  denied: { protocol?: string; name?: string; address?: string; port?: number };
}

export interface Victims {
  internet: Internet;
  /** A port of the host's own that echoes. */
  hostPort: number;
  /** Another session's address, where port 7007 echoes. */
  neighbour: string;
}

export function listAttacks({ internet, hostPort, neighbour }: Victims): Attack[] {
  const { web, other, rogue, internal, gateway } = internet;
  const attack = (name: string, attempt: Attempt, gets: string, denied: Attack['denied']): Attack => ({
    ...{ name, attempt, gets: `+ ${gets}`, denied },
  });
  return [
    attack('an address', { kind: 'http', host: other }, other, { name: other, port: 80 }),
    attack('an address, by TLS without a name', { kind: 'tls', host: other }, other, { address: other, port: 443 }),
    attack('another port', { kind: 'tcp', host: other, port: 7007 }, 'ping', { address: other, port: 7007 }),
    attack('another port of what is allowed', { kind: 'tcp', host: web, port: 7007 }, 'ping', {
      ...{ address: web, port: 7007 },
    }),
    attack('a name that is not allowed', { kind: 'lookup', host: 'other.denied.test' }, other, {
      ...{ protocol: 'dns', name: 'other.denied.test' },
    }),
    attack('another SNI', { kind: 'tls', host: web, sni: 'other.denied.test' }, web, {
      ...{ protocol: 'tls', name: 'other.denied.test' },
    }),
    attack('another Host', { kind: 'http', host: web, name: 'other.denied.test' }, web, {
      ...{ protocol: 'http', name: 'other.denied.test' },
    }),
    attack('an allowed name that leads inside', { kind: 'http', host: web, name: 'rebinding.allowed.test' }, web, {
      ...{ name: 'rebinding.allowed.test', address: internal },
    }),
    attack(
      'an allowed SNI that leads inside',
      { kind: 'tls', host: internal, sni: 'rebinding.allowed.test' },
      internal,
      {
        ...{ address: internal, port: 443 },
      },
    ),
    attack('an internal address', { kind: 'tcp', host: internal, port: 7007 }, 'ping', {
      ...{ address: internal, port: 7007 },
    }),
    attack('another DNS server', { kind: 'dns', server: rogue, name: 'web.allowed.test' }, web, {
      ...{ protocol: 'udp', address: rogue, port: 53 },
    }),
    attack('another DNS server, by TCP', { kind: 'dns', server: rogue, name: 'web.allowed.test', tcp: true }, web, {
      ...{ address: rogue, port: 53 },
    }),
    attack('a DNS tunnel', { kind: 'lookup', host: TUNNEL }, other, { protocol: 'dns', name: TUNNEL }),
    attack('a DNS tunnel below what is allowed', { kind: 'lookup', host: TUNNEL_BELOW }, other, {
      ...{ protocol: 'dns', name: TUNNEL_BELOW },
    }),
    attack('DNS over HTTPS', { kind: 'tls', host: other, sni: 'doh.denied.test', path: '/' }, other, {
      ...{ protocol: 'tls', name: 'doh.denied.test' },
    }),
    attack('UDP', { kind: 'udp', host: other, port: 9999, limitMs: relax(5_000) }, 'ping', {
      protocol: 'udp',
      address: other,
      port: 9999,
    }),
    ...[METADATA, '2852039166', '0xa9fea9fe', '0251.0376.0251.0376', '169.254.43518', `::ffff:${METADATA}`].map(
      (host) => attack(`credentials at ${host}`, { kind: 'tls', host }, METADATA, { address: METADATA, port: 443 }),
    ),
    attack('credentials by an allowed name', { kind: 'http', host: web, name: 'metadata.allowed.test' }, web, {
      ...{ name: 'metadata.allowed.test', address: METADATA },
    }),
    attack("the host's own services", { kind: 'tcp', host: gateway, port: hostPort }, 'ping', {
      ...{ address: gateway, port: hostPort },
    }),
    attack('another session', { kind: 'tcp', host: neighbour, port: 7007 }, 'ping', { address: neighbour, port: 7007 }),
  ];
}
