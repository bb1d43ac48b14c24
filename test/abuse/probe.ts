/** The helper program of the abuse suite, and an image that has it. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { afterAll } from 'vitest';
import type { Session } from '../../src/index.js';
import type { ContainerdProvider } from '../../src/provider/provider.js';
import { buildDockerArchive } from '../support/busybox.js';
import { openProvider } from '../support/provider.js';
import type { TarEntry } from '../support/tar.js';

const REFERENCE = 'registry.test/cadre/abuse:1';
const source = (name: string) => fileURLToPath(new URL(name, import.meta.url));

export interface Abuse {
  provider: ContainerdProvider;
  /** Of the probe on the host. */
  probe: string;
}

/** Compiles the programs and imports an image with them, and with `files` beside. */
export async function openAbuse(files: TarEntry[] = []): Promise<Abuse> {
  const directory = mkdtempSync(join(tmpdir(), 'cadre-abuse-'));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  const compile = (name: string) => {
    const program = join(directory, name);
    // Not position-independent: what an i386 call is given has to lie low.
    execFileSync('gcc', ['-O1', '-Wall', '-Werror', '-static', '-no-pie', '-o', program, source(`${name}.c`)]);
    return program;
  };
  const probe = compile('probe');
  const programs = [probe, ...['bomb', 'hunt'].map(compile)].map((path) => ({
    path: `bin/${path.slice(path.lastIndexOf('/') + 1)}`,
    mode: 0o755,
    data: readFileSync(path),
  }));
  const provider = await openProvider({ image: REFERENCE });
  const archive = buildDockerArchive({ reference: REFERENCE, files: [...programs, ...files] });
  await provider.importImage(Readable.from([archive]));
  return { provider, probe };
}

/** What came of an attempt: the name of an errno, `ok` where it succeeded, or a signal. */
export type Outcome = string;

/** Makes attempts inside a session. */
export async function attempt(session: Session, names: readonly string[], env = {}): Promise<Record<string, Outcome>> {
  const { stdout, stderr, exitCode } = await session.exec('probe', names, { env });
  if (exitCode !== 0 || stderr !== '') throw new Error(`probe: ${exitCode} ${stderr}`);
  return readOutcomes(stdout);
}

/** The same on the host, as root. */
export function attemptHere(probe: string, names: readonly string[], env = {}): Record<string, Outcome> {
  return readOutcomes(execFileSync(probe, names, { encoding: 'utf8', env: { ...process.env, ...env } }));
}

const names = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));

/** Of lines such as `mount 1` and `socket signal 31`. */
function readOutcomes(text: string): Record<string, string> {
  const lines = text.trim().split('\n');
  return Object.fromEntries(
    lines.map((line) => {
      const [name = '', word = '', number] = line.split(' ');
      if (word === 'signal') return [name, `signal ${number}`];
      return [name, word === '0' ? 'ok' : (names.get(Number(word)) ?? `errno ${word}`)];
    }),
  );
}
