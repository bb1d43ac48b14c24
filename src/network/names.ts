import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Files of /etc that a session has of its own. */
export const nameFiles = ['hosts', 'hostname', 'resolv.conf'] as const;

/** systemd-resolved's list of the servers behind its own address, which no other namespace reaches. */
const resolvConfs = ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf'];

/** Where they are, below the session's directory. */
export function nameNamesDirectory(directory: string): string {
  return join(directory, 'etc');
}

export interface Names {
  hostname: string;
  /** Of the session; none before it is in a network. */
  addresses: readonly string[];
  /** Addresses of name servers. Defaults to those of the host. */
  dns?: readonly string[] | undefined;
}

/** Writes them in place, so that a session that has them mounted sees the change. */
export async function writeNames(directory: string, { hostname, addresses, dns }: Names): Promise<void> {
  const place = nameNamesDirectory(directory);
  await mkdir(place, { mode: 0o755 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  const own = addresses.map((address) => `${address}\t${hostname}\n`);
  const contents: Record<(typeof nameFiles)[number], string> = {
    hosts: ['127.0.0.1\tlocalhost\n', '::1\tlocalhost ip6-localhost ip6-loopback\n', ...own].join(''),
    hostname: `${hostname}\n`,
    'resolv.conf':
      dns === undefined ? await readHostResolver() : dns.map((server) => `nameserver ${server}\n`).join(''),
  };
  for (const name of nameFiles) await writeFile(join(place, name), contents[name], { mode: 0o644 });
}

/** The host's own, without servers that only the host reaches. */
async function readHostResolver(): Promise<string> {
  for (const file of resolvConfs) {
    const text = await readFile(file, 'utf8').catch(() => '');
    const found = chooseResolver(text);
    if (/^nameserver/m.test(found)) return found;
  }
  return '';
}

/** Of the content of a resolv.conf(5) what makes sense in another network namespace. */
export function chooseResolver(text: string): string {
  const isUseful = (line: string) =>
    /^(search|domain|options)\s/.test(line) ||
    (/^nameserver\s/.test(line) && !/^nameserver\s+(127\.|::1\b)/.test(line));
  const lines = text.split('\n').filter(isUseful);
  return lines.map((line) => `${line}\n`).join('');
}
