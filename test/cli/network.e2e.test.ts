import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { readOptional } from '../../src/session/proc.js';
import { context } from '../support/context.js';
import { observe, settle } from '../support/leaks.js';
import { relax } from '../support/patience.js';
import { cadre, cadreEnv } from './cadre.js';

cadre('import', context.images.dockerArchive);
const image = context.images.reference;

test('networks: made, listed, looked at, sessions put in and taken out, removed', async () => {
  const before = await observe(context);
  expect(cadre('networks', 'create', '--subnet', '10.83.7.0/29', 'team')).toEqual({
    status: 0,
    stdout: 'team\n',
    stderr: '',
  });
  expect(cadre('networks', '-q').stdout.split('\n')).toContain('team');
  expect(cadre('networks', 'ls').stdout).toMatch(/^NETWORK .*\n(.*\n)*team +own +10\.83\.7\.0\/29 +-\n/);
  const { stdout: id } = cadre('run', '-d', '--ttl', '10m', '--name', 'wired', image, 'sleep', '1000');
  expect(cadre('networks', 'connect', 'team', 'wired')).toEqual({ status: 0, stdout: '10.83.7.2\n', stderr: '' });
  expect(JSON.parse(cadre('networks', 'inspect', 'team').stdout)).toMatchObject({ sessions: [id.trim()] });
  expect(cadre('networks', 'rm', 'team', 'absent')).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(/network team is used by cadre-wired-\w+\n.*no network absent\n$/),
  });
  expect(cadre('networks', 'disconnect', 'team', 'wired').status).toBe(0);
  expect(cadre('networks', 'rm', 'team').stdout).toBe('team\n');
  expect(cadre('rm', '-f', 'wired').status).toBe(0);
  expect(await settle({ ...context, ids: [id.trim()] }, before)).toEqual(before);
});

test('forward: a port of a session without a network, until it is interrupted', async () => {
  const server = 'while :; do echo hello | nc -l -p 7000; done';
  cadre('run', '-d', '--ttl', '10m', '--name', 'served', '--network', 'none', image, 'sh', '-c', server);
  const forward = spawn(process.execPath, ['dist/cli/main.js', 'forward', 'served', '7000'], { env: cadreEnv });
  const [said] = await once(forward.stdout, 'data');
  const [, port] = String(said).match(/^127\.0\.0\.1:(\d+)\n$/) ?? [];
  expect(await text(connect(Number(port), '127.0.0.1'))).toBe('hello\n');
  forward.kill('SIGINT');
  expect(await once(forward, 'exit')).toEqual([0, null]);
  expect(cadre('rm', '-f', 'served').status).toBe(0);
});

test('enforce: has the allowlist of a session that nobody else has, until it is interrupted', async () => {
  const allowed = cadre(
    'run',
    '-d',
    '--ttl',
    '10m',
    '--name',
    'listed',
    '--allow',
    'example.org',
    image,
    'sleep',
    '1000',
  );
  expect(allowed).toMatchObject({ status: 0, stderr: '' });
  const enforce = spawn(process.execPath, ['dist/cli/main.js', 'enforce'], { env: cadreEnv, stdio: 'ignore' });
  const children = `/proc/${enforce.pid}/task/${enforce.pid}/children`;
  // One that was just forked is called as its parent is.
  const findHelper = () =>
    readFileSync(children, 'utf8')
      .split(' ')
      .find((pid) => /gate-linux.*listed/.test(readOptional(`/proc/${pid}/cmdline`) ?? ''));
  await expect.poll(findHelper, { timeout: relax(20_000) }).toBeDefined();
  const helper = findHelper();
  enforce.kill('SIGINT');
  expect(await once(enforce, 'exit')).toEqual([0, null]);
  expect(existsSync(`/proc/${helper}`)).toBe(false);
  expect(cadre('rm', '-f', 'listed').status).toBe(0);
});

test.each([
  [['forward', 'served'], 'port'],
  [['forward', 'served', 'x'], '--port'],
  [['networks', 'create', '--subnet', '1.2.3.4', 'team'], 'subnet'],
])('%j is refused', (args, path) => {
  const { status, stdout, stderr } = cadre(...args);
  expect([status, stdout]).toEqual([2, '']);
  expect(stderr).toMatch(new RegExp(`^cadre-containerd: .*${path}.*\n$`));
});
