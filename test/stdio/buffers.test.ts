import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BoundedBuffer } from '../../src/stdio/bounded-buffer.js';
import { mergeOutput } from '../../src/stdio/merge.js';
import { createTextListener } from '../../src/stdio/text.js';

describe('BoundedBuffer', () => {
  test('keeps the first bytes and counts the rest, however they come', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ maxLength: 9000 })), fc.integer({ min: 0, max: 20_000 }), (texts, limit) => {
        const buffer = new BoundedBuffer(limit);
        const ascii = texts.map((text) => text.replace(/[^ -~]/g, '?'));
        for (const text of ascii) buffer.push(Buffer.from(text));
        const all = ascii.join('');
        expect(buffer.read()).toEqual({ text: all.slice(0, limit), dropped: Math.max(0, all.length - limit) });
      }),
    );
  });

  test('a limit in the middle of a character drops it whole', () => {
    const bytes = Buffer.from('aé€😀'.repeat(3));
    for (let limit = 0; limit <= bytes.length; limit++) {
      const buffer = new BoundedBuffer(limit);
      buffer.push(bytes);
      const { text, dropped } = buffer.read();
      expect(Buffer.byteLength(text) + dropped).toBe(bytes.length);
      expect(bytes.toString().startsWith(text)).toBe(true);
    }
  });

  test('a million single bytes cost little more than their number', () => {
    const buffer = new BoundedBuffer(1_000_000);
    const before = process.memoryUsage().arrayBuffers;
    const byte = Buffer.from('x');
    for (let i = 0; i < 1_000_000; i++) buffer.push(byte);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8_000_000);
    expect(buffer.read().text).toHaveLength(1_000_000);
  });
});

test('a text listener never sees half a character', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.integer({ min: 1, max: 4 }), (text, size) => {
      const seen: string[] = [];
      const listener = createTextListener((part) => seen.push(part));
      const bytes = Buffer.from(text);
      for (let at = 0; at < bytes.length; at += size) listener.write(bytes.subarray(at, at + size));
      listener.end();
      expect(seen.join('')).toBe(bytes.toString('utf8'));
      expect(seen).not.toContain('');
    }),
  );
});

test('much text comes in pieces of whole characters', () => {
  const text = 'aé€😀'.repeat(50_000);
  const seen: string[] = [];
  const listener = createTextListener((part) => seen.push(part));
  listener.write(Buffer.from(text));
  listener.end();
  expect(seen.join('')).toBe(text);
  expect(Math.max(...seen.map((part) => Buffer.byteLength(part)))).toBeLessThan(128 * 1024);
});

describe('mergeOutput', () => {
  async function* emit(parts: [number, string][]) {
    for (const [delay, text] of parts) {
      await sleep(delay);
      yield Buffer.from(text);
    }
  }

  test('yields both streams as they come', async () => {
    const stdout = Readable.from(
      emit([
        [0, 'a'],
        [40, 'c'],
      ]),
      { objectMode: false },
    );
    const stderr = Readable.from(emit([[20, 'b']]), { objectMode: false });
    const seen: string[] = [];
    for await (const { source, data } of mergeOutput(stdout, stderr)) seen.push(`${source} ${Buffer.from(data)}`);
    expect(seen).toEqual(['stdout a', 'stderr b', 'stdout c']);
  });

  test('chunks that wait are not joined', async () => {
    const stdout = new Readable({ read: () => undefined });
    for (const text of ['a', 'b', 'c', null]) stdout.push(text);
    const seen: string[] = [];
    for await (const { data } of mergeOutput(stdout, Readable.from([]))) seen.push(String(data));
    expect(seen).toEqual(['a', 'b', 'c']);
  });

  test('a stream that fails ends the loop with its error, after what had come', async () => {
    const stdout = new Readable({ read: () => undefined });
    stdout.push('a');
    const seen: string[] = [];
    const read = async () => {
      for await (const { data } of mergeOutput(stdout, Readable.from([]))) {
        seen.push(String(data));
        stdout.destroy(new Error('gone'));
      }
    };
    await expect(read()).rejects.toThrow('gone');
    expect(seen).toEqual(['a']);
  });

  test('left early, it leaves the streams to whoever reads on', async () => {
    const stdout = Readable.from(
      emit([
        [0, 'a'],
        [20, 'b'],
        [20, 'c'],
      ]),
      { objectMode: false },
    );
    const stderr = Readable.from(emit([[60, 'z']]), { objectMode: false });
    let text = '';
    stdout.pause().on('data', (chunk: Buffer) => {
      text += chunk;
    });
    for await (const _ of mergeOutput(stdout, stderr)) break;
    await new Promise((resolve) => stdout.once('end', resolve));
    expect(text).toBe('abc');
  });
});
