/** What has to be there before a peer can start: packages, the library in dist/, the Go program. */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const bench = fileURLToPath(new URL('.', import.meta.url));
const repository = join(bench, '..');

/** Installs what is missing of some Debian packages. */
export function installPackages(...packages: readonly string[]): void {
  run('bash', [join(bench, '../scripts/packages.sh'), ...packages], {});
}

/** Compiles src into dist, where the library's users import it from. */
export function buildLibrary(): void {
  run('npm', ['run', '--silent', 'build'], {});
}

/** Compiles the Go peer with Debian's sources only and returns its path. No module proxy is asked. */
export function buildGoPeer(): string {
  installPackages('golang-go', 'golang-github-containerd-containerd-dev');
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'cadre-containerd');
  mkdirSync(cache, { recursive: true });
  const binary = join(cache, 'bench-peer');
  const env = { GO111MODULE: 'off', GOPATH: '/usr/share/gocode', GOFLAGS: '', GOCACHE: join(cache, 'go-build') };
  run('go', ['build', '-o', binary, '.'], { cwd: join(bench, 'peers/go'), env });
  return binary;
}

/** Runs a tool; its own words are the error. */
export function run(
  tool: string,
  args: readonly string[],
  options: { cwd?: string; env?: Record<string, string> },
): string {
  const { cwd = repository, env = {} } = options;
  try {
    return execFileSync(tool, args, {
      cwd,
      env: { ...process.env, ...env },
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      maxBuffer: 2 ** 26,
    });
  } catch (error) {
    const { stdout = '', stderr = '', message } = error as Error & { stdout?: string; stderr?: string };
    const words = `${stdout}${stderr}`.trim().split('\n').slice(-5).join('\n');
    throw new Error(`${tool} failed: ${words || message}`, { cause: error });
  }
}
