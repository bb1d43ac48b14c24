/** A peer: a process that runs sessions on request and times itself, so that nothing of the harness is in the figures. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createInterface, type Interface } from 'node:readline';
import type { PeerName } from './options.js';

const ANSWER_MS = 180_000;
/** A peer ends its sessions before it goes; 300 of them take half a minute. */
const GOODBYE_MS = 120_000;

export interface PeerCommand {
  readonly name: PeerName;
  /** Of the tool that is measured, such as `containerd client 1.6.20`. */
  readonly version: string;
  readonly command: readonly string[];
  /** Gets the peer's stderr. */
  readonly log: string;
}

export class Peer {
  readonly name: PeerName;
  readonly version: string;
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;
  readonly #log: string;

  private constructor({ name, version, command: [file = '', ...args], log }: PeerCommand) {
    this.name = name;
    this.version = version;
    this.#log = log;
    const fd = openSync(log, 'w');
    // A session of its own: Ctrl-C is for the harness, which then asks its peers to end in order.
    this.#child = spawn(file, args, {
      detached: true,
      stdio: ['pipe', 'pipe', fd],
      env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
    });
    closeSync(fd);
    // Whatever goes wrong with the child shows as an answer that does not come.
    this.#child.on('error', () => undefined);
    this.#child.stdin?.on('error', () => undefined);
    this.#reader = createInterface({ input: this.#child.stdout as NonNullable<ChildProcess['stdout']> });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  /** Resolves when the peer is ready to be asked. */
  static async start(command: PeerCommand): Promise<Peer> {
    const peer = new Peer(command);
    try {
      await peer.#read('start');
      return peer;
    } catch (error) {
      await peer.stop();
      throw error;
    }
  }

  /** Sends one line and returns the answer. Rejects with the peer's own words when it failed. */
  async ask<T>(verb: string, ...numbers: readonly number[]): Promise<T> {
    this.#child.stdin?.write(`${[verb, ...numbers].join(' ')}\n`);
    return this.#read(verb) as Promise<T>;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null && this.#child.pid !== undefined) {
      const gone = new Promise((resolve) => this.#child.once('exit', resolve));
      this.#child.stdin?.end();
      const timer = setTimeout(() => this.#child.kill('SIGKILL'), GOODBYE_MS);
      await gone;
      clearTimeout(timer);
    }
    this.#reader.close();
  }

  async #read(verb: string): Promise<unknown> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`${this.name}: no answer to ${verb} in ${ANSWER_MS} ms`)), ANSWER_MS);
    });
    try {
      const line = await Promise.race([this.#lines.next(), late]);
      if (line.done) throw new Error(`${this.name} ended at ${verb}: ${this.#readLog()}`);
      const answer = JSON.parse(line.value);
      if (answer.error !== undefined) throw new Error(`${this.name} failed at ${verb}: ${answer.error}`);
      return answer;
    } finally {
      clearTimeout(timer);
    }
  }

  #readLog(): string {
    return readFileSync(this.#log, 'utf8').trim().split('\n').slice(-8).join('\n') || 'it said nothing';
  }
}
