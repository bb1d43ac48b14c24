import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { context, onlyOn } from '../support/context.js';

onlyOn(['1.6'], 'the package is the same everywhere')('the packed package', () => {
  const directory = mkdtempSync(join(tmpdir(), 'package-'));
  afterAll(() => rmSync(directory, { recursive: true }));
  const run = (program: string, ...args: string[]) => execFileSync(program, args, { cwd: directory, encoding: 'utf8' });

  test('holds what a user needs and nothing else', () => {
    const packed = execFileSync('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', directory], {
      encoding: 'utf8',
    });
    const [{ files }] = JSON.parse(packed) as [{ files: { path: string }[] }];
    const places = new Set(files.map(({ path }) => path.replace(/^dist\/.*\.(js|d\.ts)$/, 'dist')));
    expect([...places].sort()).toEqual([
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'SECURITY.md',
      'dist',
      'isolation.schema.json',
      'package.json',
      'policy.schema.json',
    ]);
  });

  test('installed in an empty directory it runs, as a library and as a command', () => {
    const project = join(directory, 'project');
    mkdirSync(project);
    writeFileSync(join(project, 'package.json'), '{ "type": "module" }');
    const [tarball = ''] = readdirSync(directory).filter((name) => name.endsWith('.tgz'));
    run('npm', 'install', '--prefix', project, '--no-audit', '--no-fund', '--loglevel=error', join(directory, tarball));
    const bin = join(project, 'node_modules/.bin/cadre-containerd');
    expect(run(bin, '--version')).toMatch(/^\d+\.\d+\.\d+\n$/);
    const connection = ['--address', context.address, '--namespace', context.namespace];
    run(bin, 'import', ...connection, context.images.dockerArchive);
    expect(run(bin, 'run', ...connection, context.images.reference, 'echo', 'from the package')).toBe(
      'from the package\n',
    );
    writeFileSync(
      join(project, 'use.js'),
      `import { ContainerdProvider } from '@cadre-dev/runtime-provider-containerd';
       const provider = new ContainerdProvider({ image: 'x', address: ${JSON.stringify(resolve(context.address))} });
       console.log((await provider.healthCheck()).details.version);
       await provider[Symbol.asyncDispose]();`,
    );
    expect(run(process.execPath, join(project, 'use.js'))).toBe(`${context.version}\n`);
  });
});
