import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { context, onlyOn } from '../support/context.js';
import { readBlocks } from './examples.js';

const NAME = '@cadre-dev/runtime-provider-containerd';

/** The README from `Use it` on, block by block, in an empty directory. */
onlyOn(['2.1'], 'the package is the same everywhere')('a new user who follows the README to the letter', () => {
  const [packed, directory] = ['packed-', 'new-user-'].map((name) => mkdtempSync(join(tmpdir(), name))) as [
    string,
    string,
  ];
  afterAll(() => {
    for (const path of [packed, directory]) rmSync(path, { recursive: true });
  });
  const env = { ...process.env, CONTAINERD_ADDRESS: context.address, CONTAINERD_NAMESPACE: context.namespace };
  const run = (script: string) => execFileSync('bash', ['-euc', script], { cwd: directory, env, encoding: 'utf8' });

  const [install, image, program, shell] = readBlocks()
    .filter(({ place, language }) => place.startsWith('README.md:') && language !== '')
    .slice(1)
    .map(({ code }) => code) as [string, string, string, string];

  test('gets the package, its needs and a host that is fit', () => {
    const pack = ['pack', '--silent', '--ignore-scripts', '--pack-destination', packed];
    execFileSync('npm', pack, { encoding: 'utf8' });
    const [tarball = ''] = readdirSync(packed);
    const [npm = '', apt = '', doctor = ''] = install.trim().split('\n');
    expect(npm).toBe(`npm install ${NAME}`);
    // It is not published, and the other packages are these tests' own needs: they are here, and updates are not ours to make.
    run(npm.replace(NAME, `--no-audit --no-fund --loglevel=error ${join(packed, tarball)}`));
    expect(run(apt.replace('apt-get install', 'dpkg-query -W'))).toMatch(
      /containerd.*busybox-static|busybox-static.*containerd/s,
    );
    expect(run(doctor)).toContain(`containerd ${context.version} answers at ${context.address}`);
  });

  test('makes an image of busybox', () => {
    run(image);
    expect(readdirSync(directory)).toContain('busybox.tar');
  });

  test('runs the program, which prints what it says', () => {
    writeFileSync(join(directory, 'hello.mjs'), program);
    expect(run('node hello.mjs')).toBe('3 0\n');
  });

  test('runs the command line, which prints what it says', () => {
    expect(run(shell)).toBe('hello\n');
    expect(run('npx cadre-containerd ps -a -q')).toBe('');
  });
});
