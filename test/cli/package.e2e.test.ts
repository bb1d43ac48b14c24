import { execFileSync, spawnSync } from 'node:child_process';
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
    const places = new Set(
      files.map(({ path }) =>
        path
          .replace(/^dist\/.*\.(js|d\.ts)$/, 'dist')
          .replace(/^native\/bin\/(gate|supervisor)-linux-(x64|arm64)$/, 'native'),
      ),
    );
    expect([...places].sort()).toEqual([
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'SECURITY.md',
      'dist',
      'isolation.schema.json',
      'native',
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

  test('CommonJS requires it, as nothing in it waits while it loads', () => {
    const file = join(directory, 'project/use.cjs');
    writeFileSync(
      file,
      `const { ContainerdProvider } = require('@cadre-dev/runtime-provider-containerd');
       const policy = require('@cadre-dev/runtime-provider-containerd/policy.schema.json');
       const isolation = require('@cadre-dev/runtime-provider-containerd/isolation.schema.json');
       const provider = new ContainerdProvider({ image: 'x', address: ${JSON.stringify(resolve(context.address))} });
       provider.healthCheck().then(async ({ details }) => {
         console.log(details.version, policy.title, isolation.title);
         await provider[Symbol.asyncDispose]();
       });`,
    );
    expect(run(process.execPath, '--no-warnings', file)).toBe(`${context.version} Isolation policy Isolation block\n`);
  });

  test.each([
    ['node16', 'use.mts', { module: 'node16', moduleResolution: 'node16' }],
    ['nodenext, from CommonJS', 'use.cts', { module: 'nodenext', moduleResolution: 'nodenext' }],
    ['bundler', 'use.ts', { module: 'esnext', moduleResolution: 'bundler' }],
  ])('its types are found under %s, and refuse what is wrong', (_, file, options) => {
    const project = join(directory, 'project');
    const types = resolve('node_modules/@types');
    const compilerOptions = {
      ...options,
      target: 'es2023',
      lib: ['es2023', 'esnext.disposable'],
      strict: true,
      noEmit: true,
      skipLibCheck: false,
      types: ['node'],
      typeRoots: [types],
    };
    writeFileSync(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions, files: [file] }));
    const compile = (image: string) => {
      writeFileSync(
        join(project, file),
        `import { ContainerdProvider, type Session } from '@cadre-dev/runtime-provider-containerd';
         const provider = new ContainerdProvider({ image: ${image} });
         export const session: Promise<Session> = provider.createSession({ resources: { memoryMb: 64 } });`,
      );
      return spawnSync(resolve('node_modules/.bin/tsc'), ['-p', project], { encoding: 'utf8' }).stdout;
    };
    expect(compile("'busybox:1'")).toBe('');
    expect(compile('5')).toMatch(/error TS2322: Type 'number' is not assignable to type 'string'/);
  });
});
