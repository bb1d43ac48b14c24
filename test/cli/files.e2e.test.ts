import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { context } from '../support/context.js';
import { observe, settle } from '../support/leaks.js';
import { cadre, cadreEnv } from './cadre.js';

const { images, root } = context;
cadre('import', images.dockerArchive);
const image = images.reference;

test('images: listed, inspected, named again, exported, imported and removed', () => {
  expect(cadre('images', 'ls', '-q').stdout).toBe(`${image}\n`);
  expect(cadre('images', '-q').stdout).toBe(`${image}\n`);
  expect(JSON.parse(cadre('images', '--json').stdout)).toMatchObject({ name: image });
  expect(cadre('images', 'ls').stdout).toMatch(new RegExp(`^DIGEST +IMAGE\nsha256:[0-9a-f]{12} +${image}\n$`));
  expect(JSON.parse(cadre('images', 'inspect', image).stdout)).toMatchObject({ name: image });
  expect(cadre('images', 'tag', image, 'local/box:1').status).toBe(0);
  const file = join(root, 'exported.tar');
  expect(cadre('images', 'export', '-o', file, 'local/box:1')).toEqual({ status: 0, stdout: '', stderr: '' });
  expect(cadre('images', 'rm', 'local/box:1', 'absent:1')).toMatchObject({ status: 1, stdout: 'local/box:1\n' });
  expect(cadre('images', 'import', '--as', 'local/again:1', file).stdout).toMatch(/^docker.io\/local\/again:1 sha256:/);
  expect(cadre('run', 'local/again:1', 'echo', 'works').stdout).toBe('works\n');
  expect(cadre('images', 'rm', 'local/again:1').status).toBe(0);
  const piped = spawnSync('sh', ['-c', `${process.execPath} dist/cli/main.js images export ${image} | tar -t`], {
    env: cadreEnv,
    encoding: 'utf8',
  });
  expect(piped.stdout.split('\n')).toEqual(expect.arrayContaining(['index.json', 'manifest.json', 'oci-layout']));
  cadre('images', 'tag', image, 'local/unused:1');
  cadre('run', '-d', '--ttl', '10m', '--name', 'user', image);
  expect(JSON.parse(cadre('images', 'prune').stdout)).toMatchObject({
    removed: ['docker.io/local/unused:1'],
    inUse: [image],
  });
  expect(cadre('rm', '-f', 'user').status).toBe(0);
  expect(cadre('images', 'fly')).toMatchObject({
    status: 2,
    stderr: expect.stringContaining('one of ls, inspect, rm'),
  });
});

test('a session: what it changed, an image of it, forks of it', async () => {
  const before = await observe(context);
  cadre('run', '-d', '--ttl', '10m', '--name', 'parent', image, 'sh', '-c', 'echo x > /made; sleep 1000');
  await expect.poll(() => cadre('diff', 'parent').stdout).toMatch(/^A \/made$/m);
  expect(cadre('commit', '-m', 'as it was', 'parent', 'local/made:1').stdout).toMatch(
    /^docker.io\/local\/made:1 sha256:/,
  );
  expect(cadre('run', 'local/made:1', 'cat', '/made').stdout).toBe('x\n');
  expect(cadre('fork', 'parent')).toMatchObject({ status: 2, stderr: expect.stringContaining('--ttl') });
  const forks = cadre('fork', '--ttl', '10m', '--count', '2', 'parent').stdout.trim().split('\n');
  expect(forks).toHaveLength(2);
  for (const fork of forks) expect(cadre('exec', fork, 'cat', '/made').stdout).toBe('x\n');
  expect(cadre('rm', '-f', 'parent', ...forks).status).toBe(0);
  expect(cadre('images', 'rm', 'local/made:1').status).toBe(0);
  expect(await settle({ ...context, ids: forks }, before)).toEqual(before);
});

test('volumes outlive sessions', () => {
  const place = ['--volume-root', join(root, 'volumes')];
  const volumes = (verb: string, ...args: string[]) => cadre('volumes', verb, ...place, ...args);
  const run = (...args: string[]) => cadre('run', ...place, '-v', 'cache:/cache', image, ...args);
  expect(run('touch', '/cache/kept').status).toBe(0);
  expect(run('ls', '/cache').stdout).toBe('kept\n');
  expect(volumes('create', 'second').stdout).toBe('second\n');
  expect(volumes('ls', '-q').stdout).toBe('cache\nsecond\n');
  expect(volumes('ls').stdout).toMatch(/^VOLUME +USED +SESSIONS\ncache +\d+s ago +-\n/);
  expect(JSON.parse(volumes('inspect', 'cache').stdout)).toMatchObject({
    name: 'cache',
    sizeBytes: expect.any(Number),
  });
  expect(volumes('rm', 'second', 'absent')).toMatchObject({ status: 1, stdout: 'second\n' });
  expect(JSON.parse(volumes('prune', '--keep', '0').stdout)).toMatchObject({ removed: ['cache'] });
  expect(volumes('ls', '-q').stdout).toBe('');
  expect(cadre('run', '-v', `${root}/config.toml:/c:ro`, image, 'sh', '-c', 'echo x >> /c').stderr).toMatch(
    /read-only|Read-only/i,
  );
});
