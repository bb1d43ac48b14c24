import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createConnection } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { expect, test } from 'vitest';
import { listProcesses, readCommand } from '../../../src/session/proc.js';
import { findSupervisor } from '../../../src/session/supervisor/door.js';
import { answer, encodeHello, encodeNumbers, MAGIC } from '../../../src/session/supervisor/protocol.js';
import { makeFifos } from '../../../src/stdio/fifo-store.js';
import { FifoReader } from '../../../src/stdio/reader.js';
import { openWriter } from '../../../src/stdio/writer.js';
import { onlyOn } from '../../support/context.js';
import { createRandom, seed } from '../recovery/seed.js';

const PROGRAM = process.env.CADRE_TEST_SUPERVISOR ?? (findSupervisor() as string);
const piece = { reset: 1, open: 2, data: 3, taken: 4, close: 5 } as const;
const RESET_BYTES = 40;

function encodePiece(type: number, line: number, payload: Uint8Array = new Uint8Array()): Buffer {
  return Buffer.concat([encodeNumbers(payload.length, type + line * 65536), payload]);
}

/** One end of a channel, as bytes. */
class End {
  readonly #output: Writable;
  #came = Buffer.alloc(0);
  #wake: () => void = () => undefined;

  constructor(input: Readable, output: Writable) {
    this.#output = output;
    input.on('data', (chunk: Buffer) => {
      this.#came = Buffer.concat([this.#came, chunk]);
      this.#wake();
    });
    for (const stream of [input, output]) stream.on('error', () => undefined);
  }

  write(bytes: Uint8Array): Promise<unknown> {
    return new Promise((resolve) => this.#output.write(bytes, resolve));
  }

  /** The next piece of the type; what comes before it is passed over. */
  async next(type: number): Promise<Buffer> {
    for (;;) {
      while (this.#came.length < 8 || this.#came.length < 8 + this.#came.readUInt32LE(0)) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
      const size = 8 + this.#came.readUInt32LE(0);
      const whole = this.#came.subarray(0, size);
      this.#came = this.#came.subarray(size);
      if (whole.readUInt16LE(4) === type) return whole;
    }
  }
}

const random = createRandom(seed);
const pick = (limit: number) => Math.floor(random() * limit);

/** Pieces that are mostly right, and noise. */
function makeNoise(): Buffer {
  const noise = () => Buffer.from(Array.from({ length: pick(80) }, () => pick(256)));
  const pieces = Array.from({ length: 1 + pick(6) }, () => {
    const payload = pick(2) === 0 ? noise() : encodeNumbers(pick(3) === 0 ? pick(2 ** 31) : pick(100));
    return pick(5) === 0 ? noise() : encodePiece(pick(7), pick(2) === 0 ? pick(4) : 0xfff0 + pick(3), payload);
  });
  return Buffer.concat(pieces);
}

onlyOn(['1.6'], 'the program itself, without containerd')('a channel over stdio', () => {
  test(`whatever the host says, the supervisor is there for the next host (CADRE_SEED=${seed})`, async () => {
    const child: ChildProcess = spawn('unshare', ['--pid', '--fork', '--kill-child', PROGRAM, '--stdio'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const host = new End(child.stdout as Readable, child.stdin as Writable);
    for (let round = 0; round < 200; round++) {
      const reset = Buffer.alloc(RESET_BYTES);
      reset.writeUInt32LE(MAGIC);
      reset.writeUInt32LE(round + 1, 8);
      await host.write(encodePiece(piece.reset, 0, reset));
      // Its own, of a round before, tell that it has lost the order.
      while (!(await host.next(piece.reset)).subarray(8).equals(reset));
      await host.write(Buffer.concat([encodePiece(piece.open, 1), encodePiece(piece.data, 1, encodeHello())]));
      expect((await host.next(piece.data)).readUInt32LE(8 + 4)).toBe(answer.welcome);
      // More than the longest piece that the noise may have begun.
      await host.write(Buffer.concat([makeNoise(), Buffer.alloc(33_000, 0xff)]));
    }
    expect(child.exitCode).toBe(null);
    child.kill('SIGKILL');
    await once(child, 'exit');
  });

  test(`whatever a guest says, the relay goes on, and what it has been told is void (CADRE_SEED=${seed})`, async () => {
    const directory = mkdtempSync(join(tmpdir(), 'relay-'));
    const [input, output] = ['channel.in', 'channel.out'].map((name) => join(directory, name)) as [string, string];
    await makeFifos([input, output]);
    execFileSync(PROGRAM, ['--relay', '--', directory]);
    const find = () =>
      listProcesses().filter((pid) => readCommand(pid).slice(1).join(' ') === `--relay -- ${directory}`);
    const relays = find();
    expect(relays).toHaveLength(1);
    const streams = [new FifoReader(input), openWriter(output)] as const;
    const guest = new End(...streams);
    for (let round = 0; round < 200; round++) {
      await guest.write(makeNoise());
      const reset = await guest.next(piece.reset);
      await guest.write(reset);
      const client = createConnection(join(directory, 'supervisor.sock'));
      client.on('error', () => undefined);
      const closed = new Promise((resolve) => client.once('close', resolve));
      const answered = new Promise<Buffer>((resolve) => client.once('data', resolve));
      client.write('hello');
      const opened = await guest.next(piece.open);
      expect((await guest.next(piece.data)).subarray(8).toString()).toBe('hello');
      await guest.write(encodePiece(piece.data, opened.readUInt16LE(6), Buffer.from('answer')));
      expect(String(await answered)).toBe('answer');
      await guest.write(Buffer.concat([makeNoise(), Buffer.alloc(33_000, 0xff)]));
      await closed;
    }
    expect(find()).toEqual(relays);
    for (const stream of streams) stream.destroy();
    // The last writer has gone.
    await expect.poll(find).toEqual([]);
    expect(readFileSync(join(directory, 'relay'), 'utf8')).toBe('ended');
    rmSync(directory, { recursive: true });
  });
});
