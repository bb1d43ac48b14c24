import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FrameReader } from '../../../src/session/supervisor/frames.js';
import { answer, encodeFrame, MAX_DATA, MAX_OUTPUT } from '../../../src/session/supervisor/protocol.js';

const types = Object.values(answer);
const frames = fc.array(
  fc.record({
    type: fc.constantFrom(...types),
    stream: fc.nat({ max: 3 }),
    payload: fc.uint8Array({ minLength: 16, maxLength: 40 }),
  }),
  { maxLength: 20 },
);

/** What a reader tells of the chunks: whole frames, and the output of each stream put together. */
function read(chunks: readonly Uint8Array[]) {
  const told: string[] = [];
  const output: Record<string, string> = {};
  const reader = new FrameReader({
    data: (stream, source, piece) => {
      const name = `${stream}.${source}`;
      output[name] = (output[name] ?? '') + Buffer.from(piece).toString('hex');
    },
    frame: (type, stream, payload) => told.push(`${type} ${stream} ${payload.toString('hex')}`),
  });
  for (const chunk of chunks) reader.push(chunk);
  return { told, output };
}

test('however the bytes come in pieces, the frames are the same', () => {
  fc.assert(
    fc.property(frames, fc.array(fc.nat({ max: 60 })), (list, cuts) => {
      const all = Buffer.concat(list.map(({ type, stream, payload }) => encodeFrame(type, stream, payload)));
      const pieces: Uint8Array[] = [];
      let at = 0;
      for (const cut of [...cuts, all.length]) {
        pieces.push(all.subarray(at, at + cut));
        at += cut;
      }
      expect(read(pieces)).toEqual(read([all]));
      const control = list.filter(({ type }) => type !== answer.output && type !== answer.errorOutput);
      expect(read([all]).told).toHaveLength(control.length);
    }),
  );
});

test.each([
  ['a type that there is not', encodeFrame(3, 1)],
  ['an end without its code', encodeFrame(answer.exited, 1, new Uint8Array(11))],
  ['more output than a supervisor sends at once', encodeFrame(answer.output, 1, new Uint8Array(MAX_OUTPUT + 1))],
  ['a payload that no supervisor sends', encodeFrame(answer.item, 1, new Uint8Array(MAX_DATA + 1))],
])('%s is no frame', (_what, bytes) => {
  expect(() => read([bytes])).toThrow(expect.objectContaining({ code: 'data-loss' }));
});

test('arbitrary bytes end in an error or in frames, never in anything else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        read([bytes]);
      } catch (error) {
        expect(error).toMatchObject({ code: 'data-loss' });
      }
    }),
  );
});
