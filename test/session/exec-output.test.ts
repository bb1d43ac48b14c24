import { Readable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { resolveExecOptions } from '../../src/session/exec-options.js';
import { ExecOutput } from '../../src/session/exec-output.js';
import type { Outlet } from '../../src/session/executor.js';
import type { Link } from '../../src/session/supervisor/link.js';
import { WINDOW } from '../../src/session/supervisor/protocol.js';
import { RemoteOutput } from '../../src/session/supervisor/streams.js';
import type { Divertible } from '../../src/stdio/reader.js';

/** As the output of a command: to the sink where there is one and nothing waits, else through the stream. */
class Source extends Readable implements Divertible {
  ways = '';
  #sink: ((bytes: Uint8Array) => void) | undefined;

  divert(sink: ((bytes: Uint8Array) => void) | undefined): void {
    this.#sink = sink;
  }

  letGo(): void {
    this.push(null);
  }

  receive(text: string): void {
    this.ways += this.#sink === undefined ? 'stream ' : 'sink ';
    if (this.#sink === undefined) this.push(text);
    else this.#sink(Buffer.from(text));
  }

  override _read(): void {
    // What comes comes by itself.
  }
}

test('output that came before anyone asked goes first, and what follows takes the short way until somebody else reads', async () => {
  const stdout = new Source();
  let heard = '';
  const onStdout = (text: string) => {
    heard += text;
  };
  const options = resolveExecOptions({ onStdout }, undefined);
  const output = new ExecOutput({ stdout, stderr: Readable.from([]) }, options, (error) => expect.fail(String(error)));
  stdout.receive('a');
  output.resume();
  stdout.receive('b');
  await turn();
  stdout.receive('c');
  expect(heard).toBe('abc');
  let taken = '';
  output.take('stdout').on('data', (chunk) => {
    taken += chunk;
  });
  stdout.receive('d');
  await turn();
  stdout.receive('e');
  stdout.push(null);
  await turn();
  expect({ heard, taken, ways: stdout.ways }).toEqual({
    heard: 'abcde',
    taken: 'de',
    ways: 'stream stream sink stream stream ',
  });
  expect(output.describe().stdout).toBe('abcde');
});

/** A command of which a stream is made when it is asked for. */
const processOf = (outlets: { stdout: Outlet; stderr: Outlet }) => ({
  outlets,
  get stdout(): Readable {
    return outlets.stdout.stream;
  },
  get stderr(): Readable {
    return outlets.stderr.stream;
  },
});

test('of what only the result is wanted of no stream is made', () => {
  const text = (told: string) => {
    const outlet: Outlet = {
      get stream(): Readable {
        return expect.fail('a stream was made');
      },
      hasStream: false,
      isOver: true,
      divert: (sink) => sink?.(Buffer.from(told)),
      letGo: () => undefined,
    };
    return outlet;
  };
  const process = processOf({ stdout: text('out'), stderr: text('err') });
  const output = new ExecOutput(process, resolveExecOptions({}, undefined), (error) => expect.fail(String(error)));
  output.resume();
  expect(output.describe()).toMatchObject({ stdout: 'out', stderr: 'err' });
});

test('what came before the result was asked for holds up nothing that follows', async () => {
  let told = 0;
  const send = (_type: number, _stream: number, payload: Uint8Array) => {
    told += Buffer.from(payload).readUInt32LE(4);
  };
  const link = { isOpen: true, send } as unknown as Link;
  const [stdout, stderr] = [new RemoteOutput(link, 1, 0), new RemoteOutput(link, 1, 1)];
  stdout.receive(Buffer.alloc(WINDOW / 4, 'a'));
  const process = processOf({ stdout, stderr });
  const output = new ExecOutput(process, resolveExecOptions({}, undefined), (error) => expect.fail(String(error)));
  output.resume();
  for (let i = 1; i < 16; i++) {
    stdout.receive(Buffer.alloc(WINDOW / 4, 'a'));
    await turn();
  }
  expect(told).toBe(4 * WINDOW);
  expect(output.describe().stdout).toHaveLength(4 * WINDOW);
});
