import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { context } from '../support/context.js';
import { observe, settle } from '../support/leaks.js';
import { cadre, cadreEnv } from './cadre.js';

const { images, address, namespace } = context;
cadre('import', images.dockerArchive);
const image = images.reference;

describe('in a terminal', () => {
  const socket = join(context.root, `tmux-${namespace}`);
  const tmux = (...args: string[]) => execFileSync('tmux', ['-S', socket, ...args], { encoding: 'utf8' });
  const screen = () => tmux('capture-pane', '-p', '-t', 'main');
  const type = (...keys: string[]) => tmux('send-keys', '-t', 'main', ...keys);
  const run = (line: string) => type(`${process.execPath} dist/cli/main.js ${line}`, 'Enter');
  const shows = (text: string | RegExp) => expect.poll(screen, { timeout: 10_000 }).toMatch(text);

  beforeAll(() => {
    const env = ['-e', `CONTAINERD_ADDRESS=${address}`, '-e', `CONTAINERD_NAMESPACE=${namespace}`];
    tmux(
      '-f',
      '/dev/null',
      'new-session',
      '-d',
      '-s',
      'main',
      '-x',
      '120',
      '-y',
      '30',
      ...env,
      'bash --norc --noprofile',
    );
  });
  afterAll(() => tmux('kill-server'));

  test('a shell has a terminal of the right size, follows a resize, and gives its exit code on', async () => {
    const before = await observe(context);
    run(`run --rm -it ${image} sh`);
    await shows(/^\/ #$/m);
    type('stty size; tty', 'Enter');
    await shows(/30 120\n\/dev\/pts\/0/);
    tmux('resize-window', '-t', 'main', '-x', '100', '-y', '20');
    type('clear; stty size', 'Enter');
    await shows(/^20 100$/m);
    // Ctrl-C ends what runs inside and not the shell that runs it.
    type('sleep 1000', 'Enter');
    type('C-c');
    type('echo code $?', 'Enter');
    await shows(/^code 130$/m);
    type('exit 7', 'Enter');
    type('echo left with $?', 'Enter');
    await shows(/left with 7\n/);
    type('stty -a | grep -o " -\\?icanon"', 'Enter');
    await shows(/^ icanon$/m);
    expect(await settle(context, before)).toEqual(before);
  });

  test('stats are drawn with bars, over one another', async () => {
    cadre('run', '-d', '--ttl', '10m', '--name', 'drawn', image, 'sleep', '1000');
    type('clear', 'Enter');
    run('stats');
    await shows(/^SESSION .*\n(.*\n)?cadre-drawn-\w+ +░{10} .* ░{10} /m);
    type('C-c');
    await shows(/\^Cbash/);
    expect(cadre('rm', '-f', 'drawn').status).toBe(0);
  });
});

test.each(['SIGINT', 'SIGTERM'] as const)('%s ends the command and removes its session', async (signal) => {
  const before = await observe(context);
  const child = spawn(process.execPath, ['dist/cli/main.js', 'run', image, 'sh', '-c', 'echo up; sleep 1000'], {
    env: cadreEnv,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  child.kill(signal);
  expect(await once(child, 'exit')).toEqual([130, null]);
  expect(await settle(context, before)).toEqual(before);
});

test('logs -f and attach go on until the command ends, events until they are interrupted', async () => {
  const events = spawn(process.execPath, ['dist/cli/main.js', 'events'], {
    env: cadreEnv,
    stdio: ['ignore', 'pipe', 2],
  });
  let seen = '';
  events.stdout?.on('data', (data) => {
    seen += data;
  });
  await expect
    .poll(
      () => {
        cadre('run', image, 'true');
        return seen;
      },
      { timeout: 20_000 },
    )
    .toContain('/tasks/exit');
  const script = 'read x; for i in 1 2 3; do echo $x $i; done; exit 4';
  cadre('run', '-d', '-i', '--ttl', '10m', '--name', 'talks', image, 'sh', '-c', script);
  const follow = spawn(process.execPath, ['dist/cli/main.js', 'logs', '-f', 'talks'], {
    env: cadreEnv,
    stdio: ['ignore', 'pipe', 2],
  });
  const attached = spawn(process.execPath, ['dist/cli/main.js', 'attach', '-i', 'talks'], {
    env: cadreEnv,
    stdio: ['pipe', 'pipe', 2],
  });
  const read = async (child: typeof follow | typeof attached) => {
    const chunks: Buffer[] = [];
    for await (const chunk of child.stdout ?? []) chunks.push(chunk);
    return chunks.join('');
  };
  const both = Promise.all([read(follow), read(attached), once(attached, 'exit'), once(follow, 'exit')]);
  attached.stdin?.write('word\n');
  const [followed, written, [code], [ended]] = await both;
  expect([followed, written, code, ended]).toEqual(['word 1\nword 2\nword 3\n', 'word 1\nword 2\nword 3\n', 4, 0]);
  events.kill('SIGINT');
  expect((await once(events, 'exit'))[0]).toBe(0);
  expect(seen).toMatch(/^\d{4}-\d\d-\d\dT\S+ \/tasks\/start cadre-talks-\w+$/m);
  expect(cadre('rm', '-f', 'talks').status).toBe(0);
});
