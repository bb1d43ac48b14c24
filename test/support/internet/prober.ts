/** Node and a program that sends raw frames, for sessions of any image: a directory to be mounted. */
import { execFileSync } from 'node:child_process';
import { constants, copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Session } from '../../../src/index.js';
import { relax } from '../patience.js';
import type { Internet } from './internet.js';

const TARGET = '/probe';
const source = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** One attempt at a network, see probe.mjs. */
export type Attempt = {
  /** Defaults to 10 s of an ordinary machine. */
  limitMs?: number;
} & (
  | { kind: 'http'; host: string; port?: number; name?: string; path?: string }
  | { kind: 'tls'; host: string; port?: number; sni?: string; name?: string; path?: string }
  | { kind: 'tcp' | 'udp'; host: string; port: number }
  | { kind: 'lookup'; host: string }
  | { kind: 'dns'; server: string; name: string; tcp?: boolean }
);

export interface Prober {
  /** For the policy's `mounts`. */
  readonly mount: { path: string; target: string; readOnly: true };
  /** Of each attempt, made at once: `+` and what a server said, or `-` and why none did. */
  probe(session: Session, attempts: readonly Attempt[]): Promise<string[]>;
  /** Sends a datagram to port 9999 of an address, past the kernel's own protocols. Needs NET_RAW. */
  sendFrame(session: Session, address: string, text: string): Promise<void>;
  remove(): void;
}

export function makeProber({ authority }: Internet): Prober {
  const directory = mkdtempSync(join(tmpdir(), 'cadre-prober-'));
  const libraries = execFileSync('ldd', [process.execPath], { encoding: 'utf8' }).match(/\/\S+/g) ?? [];
  const put = (path: string, name: string) => copyFileSync(path, join(directory, name), constants.COPYFILE_FICLONE);
  for (const path of libraries) put(path, basename(path));
  put(process.execPath, 'node');
  put(source('./probe.mjs'), 'probe.mjs');
  writeFileSync(join(directory, 'authority.pem'), authority);
  execFileSync('gcc', ['-O1', '-Wall', '-Werror', '-static', '-o', join(directory, 'frame'), source('./frame.c')]);
  const loader = libraries.map((path) => basename(path)).find((name) => name.startsWith('ld-')) ?? '';
  const run = async (session: Session, ...command: string[]) => {
    const [program = '', ...args] = command;
    const { stdout, stderr, exitCode } = await session.exec(program, args);
    if (exitCode !== 0) throw new Error(`${command.join(' ')}: ${exitCode} ${stderr}`);
    return stdout;
  };
  return {
    mount: { path: directory, target: TARGET, readOnly: true },
    async probe(session, attempts) {
      const node = [`${TARGET}/${loader}`, '--library-path', TARGET, `${TARGET}/node`];
      const limited = attempts.map((attempt) => ({ limitMs: relax(10_000), ...attempt }));
      return JSON.parse(await run(session, ...node, `${TARGET}/probe.mjs`, JSON.stringify(limited))) as string[];
    },
    async sendFrame(session, address, text) {
      await run(session, `${TARGET}/frame`, address, text);
    },
    remove: () => rmSync(directory, { recursive: true }),
  };
}
