import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { type ArchiveSource, readArchive } from '../../src/image/archive.js';
import { packTar } from '../support/tar.js';

const directory = mkdtempSync(join(tmpdir(), 'cadre-archive-'));
afterAll(() => rmSync(directory, { recursive: true }));

const large: Buffer = Buffer.alloc(3_000_000, 'large');
const tar = packTar([
  { path: './' },
  { path: './first', data: 'one' },
  { path: `${'deep/'.repeat(25)}file`, data: large },
  { path: 'empty', data: '' },
  { path: 'folder/link', symlink: '../first' },
  { path: 'folder/hard', hardlink: 'first' },
]);
const content = [
  { path: 'first', text: 'one' },
  { path: `${'deep/'.repeat(25)}file`, text: large.toString() },
  { path: 'empty', text: '' },
  { path: 'folder/link', target: 'first', text: '' },
  { path: 'folder/hard', target: 'first', text: '' },
];

describe.each([
  ['plain', tar],
  ['gzip', gzipSync(tar)],
])('%s', (kind, bytes) => {
  test('from a file', async () => {
    const path = join(directory, kind);
    writeFileSync(path, bytes);
    expect(await readAll(path)).toEqual(content);
  });

  test('from a stream of any chunks', async () => {
    expect(await readAll(stream(bytes, 1000))).toEqual(content);
    expect(await readAll(stream(bytes.subarray(0, 3), 1, bytes.subarray(3)))).toEqual(content);
  });

  test('what is not read is passed over', async () => {
    const paths: string[] = [];
    for await (const { path, body } of readArchive(stream(bytes, 10_000))) {
      paths.push(path);
      if (path.startsWith('deep')) for await (const _ of body) break;
    }
    expect(paths).toEqual(content.map(({ path }) => path));
  });

  test('leaving early closes the source', async () => {
    const source = stream(bytes, 1000);
    for await (const _ of readArchive(source)) break;
    expect(source.destroyed).toBe(true);
  });

  test.each([600, 2000, 400_000, 2_000_000])('cut after %i bytes of tar', async (length) => {
    const cut = kind === 'gzip' ? gzipSync(tar.subarray(0, length)) : tar.subarray(0, length);
    await expect(readAll(stream(cut, 1000))).rejects.toMatchObject({
      code: 'data-loss',
      message: `the archive is truncated after ${length} bytes of tar`,
    });
  });

  test('canceled', async () => {
    const controller = new AbortController();
    const reading = async () => {
      for await (const { body } of readArchive(stream(bytes, 1000), { signal: controller.signal })) {
        for await (const _ of body) controller.abort();
      }
    };
    await expect(reading()).rejects.toMatchObject({ code: 'canceled' });
    await expect(readAll(stream(bytes, 1000), controller.signal)).rejects.toMatchObject({ code: 'canceled' });
  });
});

test('a cut gzip stream', async () => {
  const bytes = gzipSync(tar);
  await expect(readAll(stream(bytes.subarray(0, bytes.length - 20), 100))).rejects.toMatchObject({
    code: 'data-loss',
    message: 'the archive is truncated: its gzip stream has no end',
  });
});

test('a corrupt gzip stream', async () => {
  const bytes = Buffer.from(gzipSync(tar));
  bytes.fill(0xff, 200, 300);
  await expect(readAll(stream(bytes, 100))).rejects.toMatchObject({ code: 'data-loss' });
});

test.each([
  ['empty', Buffer.alloc(0), 'the archive is not a tar archive: it has 0 bytes'],
  ['a word', Buffer.from('hello'), 'the archive is not a tar archive: it has 5 bytes'],
  ['text', Buffer.alloc(5000, 'not a tar\n'), 'the archive is not a tar archive: '],
  ['zstd', Buffer.from('28b52ffd00', 'hex'), 'the archive is compressed with zstd: decompress it first'],
])('not a tar: %s', async (_, bytes, message) => {
  const failure = { code: 'invalid-argument', message: expect.stringContaining(message) };
  await expect(readAll(stream(bytes, 100))).rejects.toMatchObject(failure);
});

test('a corrupt header', async () => {
  const bytes = Buffer.from(packTar([{ path: 'a', data: large }, { path: 'b' }]));
  bytes.fill(0xff, 512 + large.length + (-large.length & 511), 512 + large.length + 600);
  await expect(readAll(stream(bytes, 1000))).rejects.toMatchObject({
    code: 'data-loss',
    message: expect.stringContaining('the archive is a corrupt tar: '),
  });
});

test.each([
  { path: '../outside', data: 'x' },
  { path: 'a/../../outside', data: 'x' },
  { path: '/absolute', data: 'x' },
  { path: 'link', symlink: '/etc/passwd' },
  { path: 'link', symlink: '../outside' },
  { path: 'a/link', symlink: '../../outside' },
  { path: 'hard', hardlink: '../outside' },
])('an entry that leads out of the archive: %j', async (entry) => {
  await expect(readAll(stream(packTar([entry]), 100))).rejects.toMatchObject({
    code: 'invalid-argument',
    message: `the archive: entry "${entry.path}" leads out of the archive`,
  });
});

test('files that cannot be read', async () => {
  const missing = join(directory, 'missing.tar');
  await expect(readAll(missing)).rejects.toMatchObject({ code: 'not-found', message: `no archive ${missing}` });
  await expect(readAll(directory)).rejects.toMatchObject({
    code: 'invalid-argument',
    message: `${directory} is a directory, not a tar archive`,
  });
});

test('a source that fails', async () => {
  const cause = new Error('cable cut');
  const source = Readable.from(
    (async function* () {
      yield tar.subarray(0, 5000);
      throw cause;
    })(),
  );
  await expect(readAll(source)).rejects.toMatchObject({
    code: 'unknown',
    message: 'reading the archive: cable cut',
    cause,
  });
  const text = Readable.from(['text']);
  await expect(readAll(text)).rejects.toMatchObject({
    code: 'invalid-argument',
    message: 'the archive yields strings, not bytes',
  });
});

async function readAll(source: ArchiveSource, signal?: AbortSignal) {
  const files: { path: string; target?: string; text: string }[] = [];
  for await (const { path, target, body } of readArchive(source, { signal })) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of body) chunks.push(chunk);
    files.push({ path, text: Buffer.concat(chunks).toString(), ...(target === undefined ? {} : { target }) });
  }
  return files;
}

function stream(bytes: Buffer, chunk: number, rest: Buffer = Buffer.alloc(0)): Readable {
  return Readable.from(
    (function* () {
      for (let i = 0; i < bytes.length; i += chunk) yield bytes.subarray(i, i + chunk);
      if (rest.length > 0) yield rest;
    })(),
  );
}
