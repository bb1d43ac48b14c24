import { nameNamespace, runInside } from '../../network/namespace.js';
import { GATE_INTERFACE, GATE_PORT, nameGate, REDIRECT } from '../../network/wall.js';
import { type Check, check } from './check.js';

interface Link {
  ifname: string;
  ifindex: number;
  link_index?: number;
}

const WHOLE = 'the session and its gate, and nothing else';

/** That an allowlist's link ends in its gate, which has no other, that every connection is brought there, and to whom. */
export async function checkWall(directory: string): Promise<Check[]> {
  const inside = nameNamespace(directory);
  const gate = nameNamespace(nameGate(directory));
  const [near, far] = await Promise.all([listLinks(gate), listLinks(inside)]);
  const own = near.find(({ ifname }) => ifname === GATE_INTERFACE);
  const peer = far.find(({ ifname }) => ifname === 'eth0');
  const isWired = own !== undefined && own.link_index === peer?.ifindex && own.ifindex === peer?.link_index;
  const found = isWired && near.length === 1 ? WHOLE : near.map(({ ifname }) => ifname).join(', ');
  const redirect = await runInside(gate, 'iptables', ['--wait', '--table', 'mangle', '--check', ...REDIRECT]).then(
    () => 'as it was made',
    (error: Error) => error.message,
  );
  const listeners = await runInside(gate, 'ss', ['-Hltn', `sport = :${GATE_PORT}`]);
  const holder = listeners.length > 0 ? 'a process' : 'nobody: everything is closed';
  return [
    check('network.link', WHOLE, found, `ip link in ${gate}`),
    check('network.redirect', 'as it was made', redirect, `iptables in ${gate}`),
    check('network.enforcer', 'a process', holder, `ss in ${gate}`),
  ];
}

/** Those that lead anywhere, or could: fallback devices of tunnels are down. */
async function listLinks(path: string): Promise<Link[]> {
  const text = (await runInside(path, 'ip', ['-json', 'link', 'show', 'up'])).join('');
  return (JSON.parse(text) as Link[]).filter(({ ifname }) => ifname !== 'lo');
}
