/** A private docker-registry on a loopback port, gone with `stop`. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface RegistryTestOptions {
  /** Certificate and key files. Without them it speaks plain HTTP. */
  tls?: { certificate: string; key: string; clientCa?: string };
  /** Asks for these by basic authentication. */
  basic?: { username: string; password: string };
  /** Sends to a service for tokens. */
  token?: { realm: string; service: string; issuer: string; certificates: string };
}

export interface TestRegistry {
  /** As in references: `127.0.0.1:PORT`. */
  readonly host: string;
  kill9(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts it and waits until it listens. */
export async function startRegistry(options: RegistryTestOptions = {}): Promise<TestRegistry> {
  const root = mkdtempSync(join(tmpdir(), 'cadre-registry-'));
  const port = await findPort();
  const config = join(root, 'config.json');
  mkdirSync(join(root, 'data'));
  writeFileSync(config, renderConfig(root, port, options));
  let child: ChildProcess | undefined;
  const start = async () => {
    child = spawn('docker-registry', ['serve', config], { stdio: ['ignore', 'ignore', 'ignore'] });
    await waitForPort(port, child);
  };
  const kill9 = async () => {
    const dying = child;
    child = undefined;
    if (dying === undefined || dying.exitCode !== null) return;
    const exited = new Promise((resolve) => dying.once('exit', resolve));
    dying.kill('SIGKILL');
    await exited;
  };
  const stop = async () => {
    await kill9();
    rmSync(root, { recursive: true, force: true });
  };
  try {
    await start();
  } catch (error) {
    await stop();
    throw error;
  }
  return { host: `127.0.0.1:${port}`, start, kill9, stop };
}

export interface TestAuthority {
  /** PEM files. */
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
  /** Of a client, signed by the same. */
  readonly clientCertificate: string;
  readonly clientKey: string;
}

/** A certificate authority with a certificate for 127.0.0.1 and one for a client. */
export function makeAuthority(directory: string): TestAuthority {
  const at = (name: string) => join(directory, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl(
    'req',
    '-x509',
    ...newKey,
    '-days',
    '2',
    '-subj',
    '/CN=test CA',
    '-keyout',
    at('ca.key'),
    '-out',
    at('ca.pem'),
  );
  for (const name of ['server', 'client']) {
    const subject = ['-subj', `/CN=test ${name}`, '-addext', 'subjectAltName=IP:127.0.0.1'];
    const issuer = ['-CA', at('ca.pem'), '-CAkey', at('ca.key')];
    const files = ['-keyout', at(`${name}.key`), '-out', at(`${name}.pem`)];
    openssl(
      'req',
      '-x509',
      ...newKey,
      '-days',
      '2',
      ...subject,
      ...issuer,
      ...files,
      '-addext',
      'basicConstraints=CA:FALSE',
    );
  }
  return {
    ca: at('ca.pem'),
    certificate: at('server.pem'),
    key: at('server.key'),
    clientCertificate: at('client.pem'),
    clientKey: at('client.key'),
  };
}

/** JSON is YAML. */
function renderConfig(root: string, port: number, { tls, basic, token }: RegistryTestOptions): string {
  const passwords = join(root, 'htpasswd');
  if (basic !== undefined) writeFileSync(passwords, `${basic.username}:${hashPassword(basic.password)}\n`);
  const auth = {
    ...(basic === undefined ? {} : { htpasswd: { realm: 'test', path: passwords } }),
    ...(token === undefined
      ? {}
      : {
          token: {
            realm: token.realm,
            service: token.service,
            issuer: token.issuer,
            rootcertbundle: token.certificates,
          },
        }),
  };
  return JSON.stringify({
    version: 0.1,
    log: { level: 'error' },
    storage: { filesystem: { rootdirectory: join(root, 'data') }, delete: { enabled: true } },
    http: {
      addr: `127.0.0.1:${port}`,
      secret: 'test',
      ...(tls === undefined
        ? {}
        : {
            tls: {
              certificate: tls.certificate,
              key: tls.key,
              ...(tls.clientCa === undefined ? {} : { clientcas: [tls.clientCa] }),
            },
          }),
    },
    ...(Object.keys(auth).length === 0 ? {} : { auth }),
  });
}

/** bcrypt, the one form that the registry takes, by the C library's crypt(3). */
function hashPassword(password: string): string {
  const salt = '$2b$05$abcdefghijklmnopqrstuu';
  return execFileSync('perl', ['-e', 'print crypt($ARGV[0], $ARGV[1])', password, salt], { encoding: 'utf8' });
}

function findPort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

async function waitForPort(port: number, child: ChildProcess): Promise<void> {
  for (const deadline = Date.now() + 20_000; ; await sleep(20)) {
    if (child.exitCode !== null) throw new Error(`docker-registry ended with ${child.exitCode}`);
    const isOpen = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1');
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
      socket.once('close', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
    if (isOpen) return;
    if (Date.now() > deadline) throw new Error('docker-registry does not listen');
  }
}
