import { PassThrough, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { TAKES_STREAMS, taken } from '../support/executor.js';
import { relax } from '../support/patience.js';
import { openProvider } from '../support/provider.js';
import { collectLogs } from './main-session.js';

const provider = await openProvider();

/** An output that keeps what it was given; it may have a size, as a terminal's has. */
class Screen extends Writable {
  text = '';
  columns?: number;
  rows?: number;
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk;
    done();
  }
}

function waitFor(screen: Screen, expected: RegExp) {
  return expect.poll(() => screen.text).toMatch(expected);
}

describe('pipes', () => {
  test('stdin, both outputs, the end of input and the exit code', async ({ skip }) => {
    skip(TAKES_STREAMS, taken);
    const command = [
      'sh',
      '-c',
      'while read -r line; do echo "got $line"; echo "err $line" >&2; done; echo end; exit 3',
    ];
    await using session = await provider.createSession({ command, stdin: true });
    const [stdin, stdout, stderr] = [new PassThrough(), new Screen(), new Screen()];
    const attached = session.attach({ stdin, stdout, stderr });
    stdin.write('one\n');
    await waitFor(stdout, /^got one\n$/);
    stdin.end('two\n');
    expect(await attached).toEqual({ exitCode: 3 });
    expect([stdout.text, stderr.text]).toEqual(['got one\ngot two\nend\n', 'err one\nerr two\n']);
  });

  test('a megabyte comes back whole, through an output that is slow', async ({ skip }) => {
    skip(TAKES_STREAMS, taken);
    await using session = await provider.createSession({ command: ['cat'], stdin: true });
    const data = Array.from({ length: 150_000 }, (_, i) => `${i}\n`).join('');
    const stdout = new Screen({ highWaterMark: 1 });
    const stdin = new PassThrough();
    const attached = session.attach({ stdin, stdout });
    stdin.end(data);
    expect(await attached).toEqual({ exitCode: 0 });
    expect(stdout.text === data).toBe(true);
  });

  test('an abort takes the connection away and nothing else; another attach goes on', async ({ skip }) => {
    skip(TAKES_STREAMS, taken);
    await using session = await provider.createSession({ command: ['cat'], stdin: true });
    const abort = new AbortController();
    const first = { stdin: new PassThrough(), stdout: new Screen() };
    const attached = session.attach({ ...first, signal: abort.signal });
    first.stdin.write('first\n');
    await waitFor(first.stdout, /first/);
    abort.abort();
    await expect(attached).rejects.toMatchObject({ code: 'canceled' });
    expect((await session.info()).state).toBe('running');
    const second = { stdin: new PassThrough(), stdout: new Screen() };
    const again = session.attach({ ...second, replay: true });
    second.stdin.end('second\n');
    expect(await again).toEqual({ exitCode: 0 });
    expect([first.stdout.text, second.stdout.text]).toEqual(['first\n', 'first\nsecond\n']);
  });

  test('two at once see the same', async ({ skip }) => {
    skip(TAKES_STREAMS, taken);
    await using session = await provider.createSession({ command: ['cat'], stdin: true });
    const [a, b] = [new Screen(), new Screen()];
    const stdin = new PassThrough();
    const both = [session.attach({ stdin, stdout: a }), session.attach({ stdout: b })];
    // From its attach on, which is under way.
    await sleep(relax(100));
    stdin.end('x\ny\n');
    expect(await Promise.all(both)).toEqual([{ exitCode: 0 }, { exitCode: 0 }]);
    expect([a.text, b.text]).toEqual(['x\ny\n', 'x\ny\n']);
  });

  test('an output that is closed ends it, not the command', async () => {
    await using session = await provider.createSession({
      command: ['sh', '-c', 'while :; do echo x; sleep 0.02; done'],
    });
    const stdout = new Screen();
    const attached = session.attach({ stdout });
    await waitFor(stdout, /x/);
    stdout.destroy();
    await expect(attached).rejects.toMatchObject({ code: 'canceled' });
    expect((await session.info()).state).toBe('running');
  });

  test('what cannot be attached to is refused', async () => {
    await using idle = await provider.createSession();
    const stdout = new Screen();
    await expect(idle.attach({ stdout })).rejects.toMatchObject({
      code: 'failed-precondition',
      message: expect.stringMatching(/no command/),
    });
    await using deaf = await provider.createSession({ command: ['sleep', '1000'] });
    await expect(deaf.attach({ stdout, stdin: new PassThrough() })).rejects.toMatchObject({
      code: 'failed-precondition',
      message: expect.stringMatching(/without stdin/),
    });
    const attached = deaf.attach({ stdout });
    await sleep(relax(100));
    await deaf.kill();
    expect(await attached).toEqual({ exitCode: 137 });
  });
});

describe('a terminal', () => {
  test('prompt, size, resize, Ctrl-C, end of input', async ({ skip }) => {
    skip(TAKES_STREAMS, taken);
    await using session = await provider.createSession({ command: ['sh'], tty: true, stdin: true });
    const stdin = new PassThrough();
    const stdout = Object.assign(new Screen(), { columns: 100, rows: 30 });
    const attached = session.attach({ stdin, stdout, replay: true });
    await waitFor(stdout, /# /);
    stdin.write('stty size; echo $TERM\n');
    await waitFor(stdout, /30 100\r\nxterm\r\n/);
    Object.assign(stdout, { columns: 132, rows: 43 }).emit('resize');
    await sleep(relax(100));
    stdin.write('stty size\n');
    await waitFor(stdout, /43 132\r\n/);
    stdin.write('sleep 1000\n');
    await sleep(relax(200));
    stdin.write('\x03');
    stdin.write('echo code $?\n');
    await waitFor(stdout, /code 130\r\n/);
    stdin.end('exit 5\n');
    expect(await attached).toEqual({ exitCode: 5 });
    expect((await collectLogs(session)).stdout).toBe(stdout.text);
  });

  test('the end of input is seen inside', async ({ skip }) => {
    skip(TAKES_STREAMS, taken);
    await using session = await provider.createSession({ command: ['cat'], tty: true, stdin: true });
    const stdin = new PassThrough();
    const stdout = new Screen();
    const attached = session.attach({ stdin, stdout });
    stdin.end('line\n');
    expect(await attached).toEqual({ exitCode: 0 });
    expect(stdout.text).toContain('line\r\n');
  });
});

test("stdin after a start is the new command's", async ({ skip }) => {
  skip(TAKES_STREAMS, taken);
  await using session = await provider.createSession({ command: ['cat'], stdin: true });
  for (const word of ['one\n', 'two\n']) {
    const [stdin, stdout] = [new PassThrough(), new Screen()];
    const attached = session.attach({ stdin, stdout });
    stdin.end(word);
    expect(await attached).toEqual({ exitCode: 0 });
    expect(stdout.text).toBe(word);
    if (word === 'one\n') await session.start();
  }
});
