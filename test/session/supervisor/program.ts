import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { findSupervisor } from '../../../src/session/supervisor/door.js';
import { Link } from '../../../src/session/supervisor/link.js';
import { RemoteProcess } from '../../../src/session/supervisor/process.js';
import { encodeCommand, encodeFiles, request } from '../../../src/session/supervisor/protocol.js';

/** A supervisor in a pid namespace of its own, without a session around it. Ended with its block. */
export class Program implements AsyncDisposable {
  readonly socket: string;
  /** On this host. */
  readonly pid: number;
  readonly #directory: string;
  readonly #child: ChildProcess;
  #execs = 0;

  private constructor(directory: string, child: ChildProcess) {
    this.#directory = directory;
    this.socket = join(directory, 'socket');
    this.#child = child;
    this.pid = Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8'));
  }

  static async start(...command: string[]): Promise<Program> {
    const path = process.env.CADRE_TEST_SUPERVISOR ?? findSupervisor();
    if (path === undefined) throw new Error('there is no supervisor: npm run build:native');
    return Program.launch([path], command);
  }

  /** The program, and what runs it where this machine cannot. */
  static async launch(program: readonly string[], command: readonly string[] = []): Promise<Program> {
    const directory = await mkdtemp(join(tmpdir(), 'door-'));
    const main = command.length === 0 ? [] : ['--', ...command];
    const child = spawn(
      'unshare',
      ['--pid', '--fork', '--mount-proc', '--kill-child', ...program, directory, ...main],
      {
        stdio: ['ignore', 'inherit', 'inherit'],
      },
    );
    while (!existsSync(join(directory, 'socket'))) await sleep(2);
    return new Program(directory, child);
  }

  open(): Promise<Link> {
    return Link.open(this.socket);
  }

  /** Starts a script; its streams are to be read, and it is to be released. */
  async run(link: Link, script: string, { stdin = false } = {}): Promise<RemoteProcess> {
    const execId = `e${++this.#execs}`;
    const process = new RemoteProcess(link, { execId, command: 'busybox' }, (inside) => inside);
    const args = ['busybox', 'sh', '-c', script];
    const command = encodeCommand(execId, { args, env: ['PATH=/bin'], cwd: '/' }, { stdin });
    process.send(request.exec, command as Buffer);
    return process.started;
  }

  /** Does an operation on files; resolves with its code and what it told on both streams. */
  async serve(link: Link, args: readonly (string | Uint8Array)[], input?: Uint8Array) {
    const execId = `files${++this.#execs}`;
    const process = new RemoteProcess(link, { execId, command: 'files' }, (inside) => inside);
    const bytes = args.map((text) => Buffer.from(text));
    process.send(request.exec, encodeFiles({ execId, args: bytes, input: input !== undefined }));
    await process.started;
    process.stdin?.end(input);
    const told = await Promise.all([readText(process.stdout), readText(process.stderr)]);
    const { code } = await process.exited;
    await process.release();
    return { code, told };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await ended;
    await rm(this.#directory, { recursive: true });
  }
}

export async function readText(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/** Input, both outputs and the code of a command are its own. */
export async function checkPipes(program: Program, link: Link): Promise<void> {
  const process = await program.run(link, 'cat; echo no >&2; exit 5', { stdin: true });
  process.stdin?.end('a line\n');
  expect(await readText(process.stdout)).toBe('a line\n');
  expect(await readText(process.stderr)).toBe('no\n');
  expect((await process.exited).code).toBe(5);
  await process.release();
}
