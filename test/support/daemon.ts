/**
 * A private containerd: own root, state and socket, gone with the process that started it. The system's daemon is
 * never looked at. runc's state root is shared by all daemons of a host, so namespaces are random (`nameNamespace`).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { findContainerd, type Generation } from './containerd-binary.js';
import { relax } from './patience.js';
import { fetchVersion } from './raw-version.js';

export interface DaemonOptions {
  /** Defaults to `1.6`, the one that Debian bookworm installs. */
  readonly generation?: Generation;
  /** Directories before the daemon's own on its PATH, such as that of a recording shim. */
  readonly path?: readonly string[];
  /** Added to the daemon's environment; its shims inherit it. */
  readonly env?: Readonly<Record<string, string>>;
  /** Appended to config.toml. */
  readonly config?: string;
  /** Shell commands run before it, in a mount namespace of its own: what they mount, it and its shims alone see. */
  readonly prelude?: string;
}

export interface Daemon {
  /** Path of the gRPC socket. */
  readonly address: string;
  readonly generation: Generation;
  /** As the Version service reports it. */
  readonly version: string;
  /** Holds config.toml, containerd.log, root/ and state/. */
  readonly root: string;
  /** Undefined while it is down. */
  readonly pid: number | undefined;
  /** SIGKILL. Sessions live on, as in a crash. Resolves when the process is gone. */
  kill9(): Promise<void>;
  /** Starts it again on the same data (after SIGTERM if it still runs), as another generation if asked: an upgrade. */
  restart(generation?: Generation): Promise<void>;
  /** Ends it and every shim of its own, unmounts and deletes its root. Throws when something resists. Idempotent. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
  /** The last lines of its log. */
  readLog(lines?: number): string;
}

/** Starts a daemon and waits until it answers. */
export async function startDaemon(options: DaemonOptions = {}): Promise<Daemon> {
  const root = mkdtempSync(join(tmpdir(), 'cadre-containerd-'));
  // As /run/containerd is: root of a user namespace goes through it to its root file system.
  chmodSync(root, 0o711);
  const guard = startGuard(root);
  const daemon = new PrivateDaemon(root, guard, options);
  try {
    await daemon.start(options.generation ?? '1.6');
  } catch (error) {
    await daemon.stop();
    throw error;
  }
  return daemon;
}

/** A containerd namespace that no other test run uses. */
export function nameNamespace(): string {
  return `test-${randomBytes(6).toString('hex')}`;
}

class PrivateDaemon implements Daemon {
  readonly root: string;
  readonly address: string;
  generation: Generation = '1.6';
  version = '';
  readonly #guard: Guard;
  readonly #options: DaemonOptions;
  #process: ChildProcess | undefined;
  #stopped: Promise<void> | undefined;

  constructor(root: string, guard: Guard, options: DaemonOptions) {
    this.root = root;
    this.address = join(root, 'containerd.sock');
    this.#guard = guard;
    this.#options = options;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  async start(generation: Generation): Promise<void> {
    const { directory } = findContainerd(generation);
    this.generation = generation;
    const config = join(this.root, 'config.toml');
    writeFileSync(config, renderConfig(this.root, this.#options.config));
    mkdirSync(join(this.root, 'tmp'), { recursive: true });
    // sbin: Debian's runc may lie there, and a user's PATH often lacks it.
    const path = [...(this.#options.path ?? []), directory, process.env.PATH, '/usr/sbin:/sbin'].join(':');
    const log = openSync(join(this.root, 'containerd.log'), 'a');
    const command = [join(directory, 'containerd'), '--config', config];
    const { prelude } = this.#options;
    const wrapped = prelude === undefined ? [] : ['unshare', '--mount', 'sh', '-ec', `${prelude}\nexec "$@"`, 'sh'];
    const [program = '', ...args] = [...wrapped, ...command];
    const child = spawn(program, args, {
      env: { ...process.env, TMPDIR: join(this.root, 'tmp'), ...this.#options.env, PATH: path },
      // A session of its own: Ctrl-C reaches the tests, which then stop it in order.
      detached: true,
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    this.#process = child;
    child.once('error', () => this.#forget(child));
    child.once('exit', (code, signal) => this.#noteExit(child, code, signal));
    child.unref();
    this.version = await this.#waitUntilReady(child);
  }

  async kill9(): Promise<void> {
    await this.#end('SIGKILL');
  }

  async restart(generation: Generation = this.generation): Promise<void> {
    await this.#end('SIGTERM');
    await this.start(generation);
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#end('SIGTERM').then(() => this.#guard.sweep());
    return this.#stopped;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  readLog(lines = 40): string {
    return readFileSync(join(this.root, 'containerd.log'), 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#process;
    if (!child) return;
    this.#process = undefined;
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.ref();
    child.kill(signal);
    const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
    await gone;
    clearTimeout(timer);
  }

  /** An end that nobody asked for is told at once, with the log: the test that trips over it shows only the symptom. */
  #noteExit(child: ChildProcess, code: number | null, signal: NodeJS.Signals | null): void {
    if (!this.#forget(child)) return;
    console.error(`containerd ${this.generation} (${this.root}) ended: ${signal ?? code}\n${this.readLog()}`);
  }

  #forget(child: ChildProcess): boolean {
    if (this.#process !== child) return false;
    this.#process = undefined;
    return true;
  }

  async #waitUntilReady(child: ChildProcess): Promise<string> {
    const deadline = Date.now() + relax(20_000);
    for (;;) {
      if (this.#process !== child) throw new Error(`containerd ${this.generation} did not start`);
      try {
        return await fetchVersion(this.address);
      } catch (error) {
        if (Date.now() > deadline) {
          throw new Error(`containerd ${this.generation} does not answer:\n${this.readLog()}`, { cause: error });
        }
      }
      await sleep(25);
    }
  }
}

interface Guard {
  sweep(): Promise<void>;
}

/** A process that outlives ours: the end of its stdin, whatever the reason, makes it clear the daemon's remains. */
function startGuard(root: string): Guard {
  const script = fileURLToPath(new URL('./daemon-guard.sh', import.meta.url));
  const guard = spawn('/bin/sh', [script, root], { detached: true, stdio: ['pipe', 'ignore', 'pipe'] });
  let complaints = '';
  guard.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaints += text;
  });
  const ended = new Promise<number | null>((resolve) => guard.once('close', resolve));
  guard.unref();
  return {
    async sweep() {
      guard.ref();
      guard.stdin.end();
      const code = await ended;
      if (code !== 0) throw new Error(`the remains of ${root} could not be cleared (${code}): ${complaints}`);
    },
  };
}

/** CRI is another program in the same process; opt, nri and the unused snapshotters touch paths outside our root. */
function renderConfig(root: string, extra = ''): string {
  const disabled = [
    'grpc.v1.cri',
    'cri.v1.images',
    'cri.v1.runtime',
    'internal.v1.opt',
    'nri.v1.nri',
    ...['aufs', 'blockfile', 'btrfs', 'devmapper', 'zfs'].map((name) => `snapshotter.v1.${name}`),
  ];
  return `version = 2
root = "${root}/root"
state = "${root}/state"
disabled_plugins = [${disabled.map((name) => `"io.containerd.${name}"`).join(', ')}]
[grpc]
  address = "${root}/containerd.sock"
${extra}`;
}
