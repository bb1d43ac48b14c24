import { createHash } from 'node:crypto';
import { createWriteStream, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createGzip } from 'node:zlib';
import { afterAll, afterEach, expect, test } from 'vitest';
import { importArchive } from '../../src/image/import.js';
import { Channel } from '../../src/rpc/channel.js';
import { context } from '../support/context.js';
import { relax } from '../support/patience.js';
import { packTar } from '../support/tar.js';
import { dockerArchive, HOST, NAME, stream } from './archives.js';
import { expectNothingStays } from './store.js';

const MIB = 1024 * 1024;
const LAYER_MIB = 200;
const GROWTH_MIB = 64;

// What V8 has not yet got round to collecting comes and goes as it pleases; what is held is measured.
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const channel = new Channel(context);
afterEach(() => expectNothingStays(channel));
const directory = mkdtempSync(join(tmpdir(), 'cadre-memory-'));
afterAll(() => {
  channel.close();
  rmSync(directory, { recursive: true });
});

/** A tar header for an entry whose data follows from elsewhere: the size is written over that of an empty file. */
function header(path: string, size: number): Buffer {
  const block = Buffer.from(packTar([{ path, data: '' }]).subarray(0, 512));
  block.write(`${size.toString(8).padStart(11, '0')}\0`, 124, 'latin1');
  block.fill(' ', 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

function* layerChunks() {
  yield header('large', LAYER_MIB * MIB);
  const chunk = Buffer.alloc(MIB);
  for (let i = 0; i < LAYER_MIB; i += 1) {
    chunk.fill(`${i} and so on, `);
    yield Buffer.from(chunk);
  }
  yield Buffer.alloc(1024);
}

/** The layer first: only what comes after says what it is. */
function* archiveChunks(diffId: string) {
  yield header('layer.tar', LAYER_MIB * MIB + 1536);
  yield* layerChunks();
  const config = JSON.stringify({ ...HOST, config: {}, rootfs: { type: 'layers', diff_ids: [diffId] } });
  yield packTar([
    { path: 'config.json', data: config },
    {
      path: 'manifest.json',
      data: JSON.stringify([{ Config: 'config.json', RepoTags: [NAME], Layers: ['layer.tar'] }]),
    },
  ]);
}

test.each(['plain', 'gzip'])(
  `a layer of ${LAYER_MIB} MiB, %s, in at most ${GROWTH_MIB} MiB of memory`,
  async (form) => {
    const hash = createHash('sha256');
    for (const chunk of layerChunks()) hash.update(chunk);
    const diffId = `sha256:${hash.digest('hex')}`;
    const path = join(directory, 'image.tar');
    const compression = form === 'gzip' ? [createGzip({ level: 1 })] : [];
    await pipeline([Readable.from(archiveChunks(diffId)), ...compression, createWriteStream(path)]);
    // Code and connections, once, are not what is measured; nor is what the making of the archive left.
    await importArchive(channel, stream(dockerArchive()));
    collect();
    const before = process.memoryUsage.rss();
    let most = before;
    const timer = setInterval(() => {
      collect();
      most = Math.max(most, process.memoryUsage.rss());
    }, 100);
    try {
      const [image] = await importArchive(channel, path);
      expect(image?.diffIds).toEqual([diffId]);
    } finally {
      clearInterval(timer);
    }
    expect((most - before) / MIB).toBeLessThan(GROWTH_MIB);
  },
  // A busy disk takes long for so much.
  relax(180_000),
);
