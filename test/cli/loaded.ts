import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const encode = (program: string) => `data:text/javascript,${encodeURIComponent(program)}`;
const hooks = encode(`
  import { appendFileSync } from 'node:fs';
  export async function load(url, context, next) {
    if (url.startsWith('file:')) appendFileSync(process.env.LOADED, url + '\\n');
    return next(url, context);
  }`);
const start = encode(`import { register } from 'node:module'; register(${JSON.stringify(hooks)});`);

/** Modules that a program loads from dist and from packages, as `cli/main.js` and as `undici`. */
export function listLoaded(...args: string[]): string[] {
  const directory = mkdtempSync(join(tmpdir(), 'loaded-'));
  const list = join(directory, 'list');
  try {
    const env = { ...process.env, LOADED: list };
    const { status, stderr } = spawnSync(process.execPath, ['--import', start, ...args], { env, encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
    const paths = readFileSync(list, 'utf8').trim().split('\n');
    return [...new Set(paths.map((url) => nameModule(fileURLToPath(url))))].sort();
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function nameModule(path: string): string {
  const [, name] = path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules\/)/) ?? [];
  return name ?? relative('dist', path);
}
