import { Readable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { resolveExecOptions } from '../../src/session/exec-options.js';
import { ExecOutput } from '../../src/session/exec-output.js';
import type { Divertible } from '../../src/stdio/reader.js';

/** As the output of a command: to the sink where there is one and nothing waits, else through the stream. */
class Source extends Readable implements Divertible {
  ways = '';
  #sink: ((bytes: Uint8Array) => void) | undefined;

  divert(sink: ((bytes: Uint8Array) => void) | undefined): void {
    this.#sink = sink;
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
