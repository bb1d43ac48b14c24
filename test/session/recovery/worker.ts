/** Another process of ours, to be told what to do and to be killed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { ProviderOptions } from '../../../src/provider/options.js';
import type { DetectorOptions } from '../../../src/session/runtime-detector.js';
import { context } from '../../support/context.js';
import type { Verbs } from './worker-fixture.js';

const FIXTURE = fileURLToPath(new URL('./worker-fixture.ts', import.meta.url));

interface Waiting {
  resolve(value: never): void;
  reject(error: Error): void;
}

export class Worker implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  readonly #ended: Promise<unknown>;
  #calls = 0;

  constructor(options: ProviderOptions, detector: DetectorOptions = { hostRoot: context.hostRoot }) {
    const args = [options, detector].map((value) => JSON.stringify(value));
    this.#child = spawn(process.execPath, ['scripts/run-ts.mjs', FIXTURE, ...args], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    // A worker that is killed while it is told something breaks this pipe, as it should.
    this.#child.stdin?.on('error', () => undefined);
    this.#ended = once(this.#child, 'exit').then(([code, signal]) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`the worker has ended with ${code ?? signal}`));
    });
    const lines = createInterface({ input: this.#child.stdout as NodeJS.ReadableStream });
    lines.on('line', (line) => this.#settle(line));
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** Rejects with the worker's error, `code` included. */
  tell<V extends keyof Verbs>(verb: V, ...args: Parameters<Verbs[V]>): ReturnType<Verbs[V]> {
    const call = ++this.#calls;
    const answer = new Promise((resolve, reject) => this.#waiting.set(call, { resolve, reject }));
    this.#child.stdin?.write(`${JSON.stringify({ call, verb, args })}\n`);
    return answer as ReturnType<Verbs[V]>;
  }

  /** SIGKILL; resolves when it is gone. Throws when it had ended by itself. */
  async kill(): Promise<void> {
    const { exitCode } = this.#child;
    this.#child.kill('SIGKILL');
    await this.#ended;
    if (exitCode !== null) throw new Error(`the worker ended by itself with ${exitCode}`);
  }

  /** Resolves when it has ended by itself, or was killed. */
  async ended(): Promise<void> {
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.signalCode === null) await this.kill();
  }

  #settle(line: string): void {
    const { call, value, error } = JSON.parse(line);
    const waiting = this.#waiting.get(call);
    this.#waiting.delete(call);
    if (error === undefined) waiting?.resolve(value as never);
    else waiting?.reject(Object.assign(new Error(error.message), { code: error.code }));
  }
}
