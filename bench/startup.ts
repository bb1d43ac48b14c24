/**
 * What the package takes as a user has it: its size, installed in an empty project, and the time until a process that
 * loads it has ended, in turns: npm run bench:startup [-- ROUNDS]
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const [rounds = '15'] = process.argv.slice(2);
const name = '@cadre-dev/runtime-provider-containerd';

const project = mkdtempSync(join(tmpdir(), 'startup-'));
try {
  const packed = execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', project], {
    encoding: 'utf8',
  });
  const [{ filename, size, unpackedSize }] = JSON.parse(packed) as [
    { filename: string; size: number; unpackedSize: number },
  ];
  writeFileSync(join(project, 'package.json'), '{ "private": true }');
  const install = ['install', '--prefix', project, '--no-audit', '--no-fund', '--loglevel=error'];
  execFileSync('npm', [...install, join(project, filename)], { stdio: 'inherit' });
  const modules = join(project, 'node_modules');
  const cli = join(modules, name, 'dist/cli/main.js');
  const commands: Record<string, string[]> = {
    'node alone': ['-e', '0'],
    'cadre-containerd --version': [cli, '--version'],
    'cadre-containerd --help': [cli, '--help'],
    'cadre-containerd run --help': [cli, 'run', '--help'],
    'a tab key': [cli, 'completion', 'candidates', '--', 'run', '--'],
    import: ['--input-type=module', '-e', `import '${name}'`],
    require: ['-e', `require('${name}')`],
  };
  const times = new Map(Object.keys(commands).map((what): [string, number[]] => [what, []]));
  for (let round = 0; round < Number(rounds); round++) {
    for (const [what, args] of Object.entries(commands)) times.get(what)?.push(measure(args));
  }
  const bare = median(times.get('node alone') ?? []);
  console.log(`Node ${process.version}, median of ${rounds}\n\n| | ms | beside node |\n|---|---|---|`);
  for (const [what, all] of times) {
    console.log(`| ${what} | ${median(all).toFixed(0)} | ${(median(all) - bare).toFixed(0)} |`);
  }
  const tree = execFileSync('du', ['-sb', '--exclude=.package-lock.json', modules], { encoding: 'utf8' });
  const count = readdirSync(modules, { recursive: true, encoding: 'utf8' }).filter((path) =>
    /(^|\/)node_modules\/?((@[^/]+\/)?[^/]+)\/package\.json$/.test(`node_modules/${path}`),
  ).length;
  console.log(`\n| | KiB |\n|---|---|\n| tarball | ${kib(size)} |\n| unpacked | ${kib(unpackedSize)} |`);
  console.log(`| with its dependencies, ${count} packages | ${kib(Number.parseInt(tree, 10))} |`);
} finally {
  rmSync(project, { recursive: true });
}

function measure(args: string[]): number {
  const started = performance.now();
  const { status, stderr } = spawnSync(process.execPath, args, { cwd: project, encoding: 'utf8' });
  if (status !== 0) throw new Error(`node ${args.join(' ')}: ${stderr}`);
  return performance.now() - started;
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
}

function kib(bytes: number): number {
  return Math.round(bytes / 1024);
}
