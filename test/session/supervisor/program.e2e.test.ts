import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rmdir } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { RemoteProcess } from '../../../src/session/supervisor/process.js';
import { encodeFrame, encodeHello, encodeNumbers, request } from '../../../src/session/supervisor/protocol.js';
import { onlyOn } from '../../support/context.js';
import { relax } from '../../support/patience.js';
import { createRandom, seed } from '../recovery/seed.js';
import { checkPipes, Program, readText } from './program.js';

/** Of control groups of version 1. */
const FREEZER = '/sys/fs/cgroup/freezer';
const listChildren = (pid: number) =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);

const SANITIZED = process.env.CADRE_TEST_SUPERVISOR !== undefined;

onlyOn(['1.6'], 'the program itself, without containerd')('the supervisor', () => {
  test('output, code and input of a command', async () => {
    await using program = await Program.start();
    const link = await program.open();
    await checkPipes(program, link);
    link.close();
  });

  test('what is killed from inside, its reaper with it, keeps its code', async () => {
    await using program = await Program.start();
    const link = await program.open();
    for (let round = 0; round < 25; round++) {
      const process = await program.run(link, 'kill -9 -1; exit 7');
      expect((await process.exited).code).toBe(7);
      // What it left running is anybody's.
      expect(await process.killTree()).toBe(false);
      await process.release();
    }
    link.close();
  });

  test('what is slow to die is waited for, by its kill alone', async ({ skip }) => {
    skip(!existsSync(FREEZER), 'a frozen process of cgroup v2 dies at once');
    await using program = await Program.start();
    const link = await program.open();
    const process = await program.run(link, 'exec busybox sleep 1000');
    const group = await mkdtemp(join(FREEZER, 'cadre-test-'));
    try {
      const [reaper] = listChildren(program.pid);
      writeFileSync(join(group, 'cgroup.procs'), String(listChildren(reaper as number)[0]));
      writeFileSync(join(group, 'freezer.state'), 'FROZEN');
      const killed = process.killTree();
      await sleep(500);
      const other = await program.run(link, 'exit 3');
      expect((await other.exited).code).toBe(3);
      await other.release();
      writeFileSync(join(group, 'freezer.state'), 'THAWED');
      expect(await killed).toBe(true);
      expect((await process.exited).code).toBe(128 + constants.signals.SIGKILL);
      await process.release();
    } finally {
      writeFileSync(join(group, 'freezer.state'), 'THAWED');
      await expect.poll(() => readFileSync(join(group, 'cgroup.procs'), 'utf8')).toBe('');
      await rmdir(group);
    }
    link.close();
  });

  test('whoever has a number in its pid namespace is not spoken to', async () => {
    await using program = await Program.start();
    const script = `
      const socket = require('node:net').connect(${JSON.stringify(program.socket)});
      socket.on('data', (data) => console.log('told', data.length)).on('close', () => console.log('closed'));
      socket.on('error', () => undefined);
      socket.write(Buffer.from('${encodeHello().toString('hex')}', 'hex'));
    `;
    const inside = spawnSync('nsenter', [`--pid=/proc/${program.pid}/ns/pid`, process.execPath, '-e', script]);
    expect(inside.stdout.toString()).toBe('closed\n');
    const outside = spawnSync(process.execPath, ['-e', `${script}; setTimeout(() => socket.destroy(), ${relax(500)})`]);
    expect(outside.stdout.toString()).toBe('told 24\nclosed\n');
  });

  test('a signal from inside does not end it', async () => {
    await using program = await Program.start();
    const link = await program.open();
    const script = 'kill -TERM 1; kill -INT 1; kill -KILL 1; sleep 0.1; echo here';
    const process = await program.run(link, script);
    expect(await readText(process.stdout)).toBe('here\n');
    await process.release();
    expect(link.isOpen).toBe(true);
    link.close();
  });

  test('an output that nobody takes waits in a bounded place, and holds up no other', async () => {
    await using program = await Program.start();
    const link = await program.open();
    const flood = await program.run(link, 'busybox yes');
    for (let round = 0; round < 20; round++) {
      const process = await program.run(link, 'echo through');
      expect(await readText(process.stdout)).toBe('through\n');
      await process.release();
    }
    const rss = Number(readFileSync(`/proc/${program.pid}/status`, 'utf8').match(/^VmRSS:\s+(\d+) kB$/m)?.[1]);
    // The sanitizers' own memory is beside what is shown here.
    expect(rss).toBeLessThan(SANITIZED ? 32_768 : 1_024);
    await flood.signal(9);
    expect((await flood.exited).code).toBe(137);
    await flood.release();
    link.close();
  });

  test.each([
    [2_000, 100],
    // Many times what either end keeps.
    [500_000, 1_500_000],
  ])(
    '%i lines, left after %i bytes and taken up by another connection, have no gap and an end',
    async (lines, left) => {
      await using program = await Program.start();
      const first = await program.open();
      // It ends while nobody is there.
      const process = await program.run(first, `busybox seq 0 ${lines - 1}; exit 9`);
      let text = '';
      for await (const chunk of process.stdout) {
        text += chunk;
        if (text.length > left) break;
      }
      process.detach();
      first.close();
      await sleep(relax(300));
      const second = await program.open();
      const again = new RemoteProcess(second, { execId: 'e1', command: '' }, (inside) => inside);
      again.send(request.connect, Buffer.from('e1'));
      await again.started;
      text += await readText(again.stdout);
      expect((await again.exited).code).toBe(9);
      expect(text).toBe(Array.from({ length: lines }, (_, i) => `${i}\n`).join(''));
      await again.release();
      second.close();
    },
  );

  test('operations on files end with an errno and the path, whatever is asked', async () => {
    await using program = await Program.start();
    const link = await program.open();
    const directory = await mkdtemp(join(tmpdir(), 'served-'));
    const at = (name: string) => join(directory, name);
    const long = 'x'.repeat(5_000);
    const pieces = Buffer.concat([encodeNumbers(4), Buffer.from('text'), encodeNumbers(0)]);
    const { ENOENT, ENAMETOOLONG, EINVAL, ENOSYS, ECANCELED, EISDIR } = constants.errno;
    const steps: [args: (string | Uint8Array)[], code: number, input?: Uint8Array][] = [
      [['write', at('a'), '-'], 0, pieces],
      [['write', at('cut'), '420'], ECANCELED, pieces.subarray(0, 6)],
      [['write', at('cut'), '420'], ECANCELED, encodeNumbers(0xffffffff)],
      [['write', at('cut')], ECANCELED, Buffer.of()],
      [['read', at('a')], 0],
      [['read', directory], EISDIR],
      [['read', `/${long}`], ENAMETOOLONG],
      [['read', `/${'y/'.repeat(2_000)}`], ENOENT],
      [['read', 'relative'], EINVAL],
      [['read'], EINVAL],
      [['explode', at('a')], ENOSYS],
      [['', at('a')], ENOSYS],
      [['list', directory], 0],
      [['stat', at('a'), 'follow', 'more', 'than', 'it', 'takes'], 0],
      [['link', at('b'), long.slice(0, 4_000)], 0],
      [['stat', at('b')], 0],
      [['mkdir', at(`deep${'/d'.repeat(500)}`), '-', 'recursive'], 0],
      [['mkdir', at(`deep${'/d'.repeat(500)}`), '-', 'recursive'], 0],
      [['chmod', at('a'), '99999999999999999999'], 0],
      [['rename', at('a'), at('c')], 0],
      [['rm', at('none')], ENOENT],
      [['rm', directory, 'recursive'], 0],
    ];
    for (const [args, code, input] of steps) {
      const done = await program.serve(link, args, input);
      expect([args[0], String(args[1]).slice(0, 60), done.code]).toEqual([args[0], String(args[1]).slice(0, 60), code]);
      if (code !== 0 && code !== EINVAL && code !== ENAMETOOLONG) expect(done.told[1]).toBe(args[1]);
    }
    expect(existsSync(directory)).toBe(false);
    link.close();
  });

  test('commands that end while files are written hold up nothing', async () => {
    await using program = await Program.start();
    const link = await program.open();
    const directory = await mkdtemp(join(tmpdir(), 'served-'));
    const text = Buffer.concat([encodeNumbers(4), Buffer.from('text'), encodeNumbers(0)]);
    const write = async () => (await program.serve(link, ['write', join(directory, 'a'), '-'], text)).code;
    const run = async () => {
      const process = await program.run(link, 'exit 7');
      const { code } = await process.exited;
      await process.release();
      return code;
    };
    // An end and a start that the supervisor hears of by one call of epoll_wait(2) are met within some hundred.
    const repeat = async (act: () => Promise<number>, code: number) => {
      for (let round = 0; round < 300; round++) expect(await act()).toBe(code);
    };
    await Promise.all([repeat(run, 7), repeat(write, 0), repeat(run, 7), repeat(write, 0)]);
    expect((await program.serve(link, ['rm', directory, 'recursive'])).code).toBe(0);
    link.close();
  });

  test(`a host that sends anything at all ends its connection and nothing else (CADRE_SEED=${seed})`, async () => {
    await using program = await Program.start();
    const link = await program.open();
    const steady = await program.run(link, 'cat', { stdin: true });
    const random = createRandom(seed);
    const pick = (limit: number) => Math.floor(random() * limit);
    for (let round = 0; round < 300; round++) {
      const socket = createConnection(program.socket);
      socket.on('error', () => undefined);
      const frames = Array.from({ length: 1 + pick(8) }, () => {
        const payload = Buffer.from(Array.from({ length: pick(64) }, () => pick(256)));
        return encodeFrame(
          pick(14),
          pick(3),
          pick(2) === 0 ? payload : encodeNumbers(pick(3), pick(4), pick(3), pick(3)),
        );
      });
      const bytes = Buffer.concat([...(pick(4) === 0 ? [] : [encodeHello()]), ...frames]);
      socket.end(bytes.subarray(0, bytes.length - pick(3)));
      socket.resume();
      await new Promise((resolve) => socket.once('close', resolve));
    }
    steady.stdin?.end('still here');
    expect(await readText(steady.stdout)).toBe('still here');
    await steady.release();
    await sleep(10);
    expect(link.isOpen).toBe(true);
    link.close();
  });
});
