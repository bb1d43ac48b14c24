/** An internet of the test's own: a network namespace that is wired to the host, with servers on several addresses. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createCipheriv, createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Of the one that resolves names, and of a second one that knows the same. */
const SERVERS = fileURLToPath(new URL('./servers.mjs', import.meta.url));
/** As many internets as one host has at once. */
const SLOTS = 16;
/** Where clouds serve credentials to whoever asks. */
const METADATA = '169.254.169.254';

/** What a name leads to. */
export interface NameRecord {
  addresses: string[];
  /** In seconds. */
  ttl: number;
}

export interface Internet {
  /** The host's own address there, which what it forwards comes from. */
  readonly gateway: string;
  /** Each serves HTTP (80), TLS (443), DNS (53, UDP and TCP), an echo over TCP (7007) and one over UDP (9999). */
  readonly web: string;
  readonly other: string;
  readonly dns: string;
  readonly rogue: string;
  /** A private address (RFC 1918) beyond the host. */
  readonly internal: string;
  /** HTTP alone. Undefined on a host without IPv6. */
  readonly six: string | undefined;
  /** PEM of the authority that all TLS servers are certified by, for names below `test`. */
  readonly authority: string;
  /** All that its DNS servers know, from now on. */
  setRecords(records: Readonly<Record<string, NameRecord>>): Promise<void>;
  /** What came to its servers since the last call: `http ADDRESS HOST`, `tls ADDRESS SNI`, `dns ADDRESS udp NAME`, ... */
  takeHeard(): Promise<string[]>;
  /** Runs a program that is outside the host; returns what it prints. */
  run(command: string, ...args: string[]): string;
  stop(): Promise<void>;
}

const ip = (...args: string[]) => execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

/**
 * The namespace is that of one process, which ends with this one's channel: nothing is left, whatever becomes of the test.
 * Of several internets at once each has addresses of its own; with `metadata` it serves at 169.254.169.254 too.
 */
export async function openInternet({ metadata = false } = {}): Promise<Internet> {
  const child = spawn('unshare', ['--net', process.execPath, SERVERS], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const stop = () => endChild(child);
  try {
    await receive(child);
    const { slot, near } = await takeSlot(child.pid ?? 0);
    const at = (host: number, net = '203.0.113') => `${net}.${slot * 16 + host}`;
    const [web, other] = [at(2), at(3)];
    const [gateway, dns, rogue] = [at(1), at(2, '198.51.100'), at(3, '198.51.100')];
    const internal = `10.197.${slot}.9`;
    const net6 = `2001:db8:197:${slot + 1}`;
    const six = hasIpv6() ? `${net6}::2` : undefined;
    const enter = ['nsenter', `--net=/proc/${child.pid}/ns/net`];
    const inside = (...args: string[]) => execFileSync(enter[0] as string, [...enter.slice(1), ...args]);
    const far = ['dev', 'far'];
    for (const address of [`${web}/28`, other, dns, rogue, internal, ...(metadata ? [METADATA] : [])]) {
      inside('ip', 'address', 'add', address, ...far);
    }
    if (six !== undefined) inside('ip', '-6', 'address', 'add', `${six}/64`, ...far, 'nodad');
    inside('ip', 'link', 'set', 'lo', 'up');
    inside('ip', 'link', 'set', 'far', 'up');
    inside('ip', 'route', 'add', 'default', 'via', gateway);
    ip('address', 'add', `${gateway}/28`, 'dev', near);
    if (six !== undefined) ip('-6', 'address', 'add', `${net6}::1/64`, 'dev', near, 'nodad');
    ip('link', 'set', near, 'up');
    // Appended: a host that has one of its own, or a second internet, keeps it.
    for (const address of [dns, rogue, internal, ...(metadata ? [METADATA] : [])]) {
      ip('route', 'append', address, 'dev', near);
    }
    const { key, certificate } = certify();
    const addresses = [web, other, dns, rogue, internal, ...(metadata ? [METADATA] : [])];
    await ask(child, { verb: 'serve', addresses, six, key, certificate });
    return {
      ...{ gateway, web, other, dns, rogue, internal, six, authority: certificate },
      setRecords: async (records) => void (await ask(child, { verb: 'records', records })),
      takeHeard: async () => (await ask(child, { verb: 'take' })).heard,
      run: (command, ...args) => inside(command, ...args).toString(),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Of an interface that is made now. */
function hasIpv6(): boolean {
  const file = '/proc/sys/net/ipv6/conf/default/disable_ipv6';
  return existsSync(file) && readFileSync(file, 'utf8').trim() === '0';
}

/** SHA-256 of what `/bytes/SIZE` serves. */
export function hashBytes(size: number): string {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16));
  const hash = createHash('sha256');
  const zeros = Buffer.alloc(65_536);
  for (let left = size; left > 0; left -= zeros.length) hash.update(cipher.update(zeros.subarray(0, left)));
  return hash.digest('hex');
}

/** The name of the wire is the claim: the kernel gives it once. */
async function takeSlot(pid: number): Promise<{ slot: number; near: string }> {
  for (let slot = 0; slot < SLOTS; slot++) {
    const near = `inet${slot}`;
    try {
      ip('link', 'add', near, 'type', 'veth', 'peer', 'name', 'far', 'netns', String(pid));
      return { slot, near };
    } catch (error) {
      if (!String((error as { stderr?: string }).stderr).includes('File exists')) throw error;
    }
  }
  throw new Error(`${SLOTS} internets are on this host already: ip link delete inet0`);
}

function certify(): { key: string; certificate: string } {
  const directory = mkdtempSync(join(tmpdir(), 'cadre-internet-'));
  try {
    const [key, certificate] = [join(directory, 'key'), join(directory, 'certificate')];
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    const names = ['web', 'other', 'internal', 'doh', 'rebinding'].flatMap((name) => [
      `DNS:${name}.allowed.test`,
      `DNS:${name}.denied.test`,
    ]);
    const subject = ['-subj', '/CN=test internet', '-addext', `subjectAltName=${names.join()}`];
    const args = ['req', '-x509', ...curve, '-days', '2', ...subject, '-keyout', key, '-out', certificate];
    execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
    return { key: readFileSync(key, 'utf8'), certificate: readFileSync(certificate, 'utf8') };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

type Answer = { heard: string[] };

async function ask(child: ChildProcess, message: { verb: string; [key: string]: unknown }): Promise<Answer> {
  const answered = receive(child);
  child.send(message);
  return answered;
}

function receive(child: ChildProcess): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const fail = (code: unknown) => reject(new Error(`the internet of the test ended with ${code}`));
    child.once('exit', fail);
    child.once('message', (message) => {
      child.off('exit', fail);
      resolve(message as Answer);
    });
  });
}

async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}
