import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { image as buildImage } from '../image/archives.js';
import { publish } from '../image/publish.js';
import { context } from '../support/context.js';
import { startFaultProxy } from '../support/fault-proxy.js';
import { observe, settle } from '../support/leaks.js';
import { startRegistry } from '../support/registry.js';
import { packTar } from '../support/tar.js';
import { cadre, cadreEnv } from './cadre.js';
import { openTerminal, type Terminal } from './terminal.js';

const { images } = context;
cadre('import', images.dockerArchive);
const image = images.reference;

describe('in a terminal', () => {
  let terminal: Terminal;
  beforeAll(() => {
    terminal = openTerminal('main', 'bash --norc --noprofile');
  });
  afterAll(() => terminal.close());

  test('a shell has a terminal of the right size, follows a resize, and gives its exit code on', async () => {
    const { type, run, shows, resize } = terminal;
    const before = await observe(context);
    run(`run --rm -it ${image} sh`);
    await shows(/^\/ #$/m);
    type('stty size; tty', 'Enter');
    await shows(/30 120\n\/dev\/pts\/0/);
    resize(100, 20);
    // It is on its way when tmux has returned.
    type('until stty size | grep -q "^20 "; do sleep 0.1; done; clear; stty size', 'Enter');
    await shows(/^20 100$/m);
    // Ctrl-C ends what runs inside and not the shell that runs it.
    type("clear; echo be''gun; sleep 1000", 'Enter');
    await shows(/^begun$/m);
    type('C-c');
    type('echo code $?', 'Enter');
    await shows(/^code 130$/m);
    type('exit 7', 'Enter');
    // What is typed before then is still the session's to read.
    await shows(/exit 7\nbash-/);
    type('echo left with $?', 'Enter');
    await shows(/left with 7\n/);
    type('stty -a | grep -o " -\\?icanon"', 'Enter');
    await shows(/^ icanon$/m);
    expect(await settle(context, before)).toEqual(before);
  });

  test('stats are drawn with bars, over one another', async () => {
    const { type, run, shows } = terminal;
    cadre('run', '-d', '--ttl', '10m', '--name', 'drawn', image, 'sleep', '1000');
    type('clear', 'Enter');
    run('stats');
    await shows(/^SESSION .*\n(.*\n)?cadre-drawn-\w+ +░{10} .* ░{10} /m);
    type('C-c');
    await shows(/\^Cbash/);
    expect(cadre('rm', '-f', 'drawn').status).toBe(0);
  });

  test('a pull draws how far it is, and clears it away at its end', async () => {
    const { type, run, shows, screen } = terminal;
    const registry = await startRegistry();
    onTestFinished(() => registry.stop());
    const proxy = await startFaultProxy(registry.host);
    onTestFinished(() => proxy.stop());
    const large = packTar([{ path: 'some', data: randomBytes(4 * 1024 ** 2) }]);
    await publish(`${registry.host}/drawn:1`, buildImage({ layers: [large] }));
    proxy.fault = ({ url }) => (url.includes('/blobs/') ? { bytesPerSecond: 2 * 1024 ** 2 } : undefined);
    const reference = `${proxy.host}/drawn:1`;
    type('clear', 'Enter');
    run(`pull ${reference}; echo ended with $?`);
    await shows(/^download █+░+ \d\.\d\/4\.\d MiB$/m);
    await shows(/^ended with 0$/m);
    expect(screen()).toMatch(new RegExp(`^${reference} sha256:\\w{64}$`, 'm'));
    expect(screen()).not.toContain('█');
    expect(cadre('images', 'rm', reference).status).toBe(0);
  });

  test('states have colours, and none where NO_COLOR is set', async () => {
    const { type, run, shows, screen } = terminal;
    cadre('run', '-d', '--ttl', '10m', '--name', 'painted', image, 'sleep', '1000');
    type('clear', 'Enter');
    run('ps');
    await shows(/cadre-painted-\w+ +painted +running +\d+s ago/);
    expect(screen('-e')).toContain('\x1b[32mrunning\x1b[39m');
    expect(cadre('ps').stdout).not.toContain('\x1b');
    type("clear; export NO_COLOR=1; echo with''out", 'Enter');
    await shows(/^without$/m);
    run('ps');
    await shows(/cadre-painted-\w+ +painted +running +\d+s ago/);
    expect(screen('-e')).not.toContain('\x1b[32m');
    expect(cadre('rm', '-f', 'painted').status).toBe(0);
  });

  test('a terminal that is closed takes the session of its command with it', async () => {
    const before = await observe(context);
    const closed = openTerminal('closed', 'bash --norc --noprofile');
    closed.run(`run --rm -it ${image} sh`);
    await closed.shows(/^\/ #$/m);
    closed.close();
    expect(await settle(context, before)).toEqual(before);
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
    .poll(() => {
      cadre('run', image, 'true');
      return seen;
    })
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

test.each([
  ['run', [image, 'yes']],
  ['logs', ['-f', 'endless']],
  ['stats', ['--json']],
  ['events', []],
])('%s ends when nobody reads what it writes, and leaves nothing', async (verb, args) => {
  cadre('run', '-d', '--ttl', '10m', '--name', 'endless', image, 'sh', '-c', 'while :; do echo x; usleep 10000; done');
  const before = await observe(context);
  const child = spawn(process.execPath, ['dist/cli/main.js', verb, ...args], { env: cadreEnv });
  // Tests that come later count what is there.
  onTestFinished(() => {
    child.kill('SIGKILL');
    cadre('rm', '-f', 'endless');
  });
  let stderr = '';
  child.stderr.on('data', (data) => {
    stderr += data;
  });
  const exited = once(child, 'exit');
  let isHeard = false;
  const heard = once(child.stdout, 'data').then(() => {
    isHeard = true;
  });
  // What happens before it listens is not told: until it has told something, something happens.
  for (; verb === 'events' && !isHeard; await sleep(100)) cadre('run', image, 'true');
  await heard;
  child.stdout.destroy();
  if (verb === 'events') cadre('run', image, 'true');
  await exited;
  expect(stderr).toBe('');
  expect(await settle(context, before)).toEqual(before);
  expect(cadre('rm', '-f', 'endless').status).toBe(0);
});

test('input that cannot be read is a failure of one line, and leaves nothing', async () => {
  const before = await observe(context);
  // Nothing is mapped at address 0.
  const line = `${process.execPath} dist/cli/main.js run -i ${image} sh -c 'cat; sleep 1000' < /proc/${process.pid}/mem`;
  const { status, stderr } = spawnSync('sh', ['-c', line], { env: cadreEnv, encoding: 'utf8', timeout: 120_000 });
  expect({ status, stderr }).toEqual({
    status: 1,
    stderr: 'cadre-containerd: standard input: EIO: i/o error, read\n',
  });
  expect(await settle(context, before)).toEqual(before);
});

test('output that cannot be written is a failure of one line', () => {
  const line = `${process.execPath} dist/cli/main.js images ls > /dev/full`;
  const { status, stderr } = spawnSync('sh', ['-c', line], { env: cadreEnv, encoding: 'utf8' });
  expect({ status, stderr }).toEqual({
    status: 1,
    stderr: 'cadre-containerd: ENOSPC: no space left on device, write\n',
  });
});
