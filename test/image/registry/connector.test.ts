import { createHash, randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { HttpClient } from '../../../src/image/registry/http.js';

const MIB = 1024 * 1024;
const blobs = Array.from({ length: 6 }, () => randomBytes(5 * MIB + 17));
let server: Server;
let origin: string;
beforeAll(async () => {
  server = createServer(async (request, response) => {
    const [, name, step, pauseMs] = (request.url ?? '').split('/');
    const data = blobs[Number(name)] ?? Buffer.alloc(0);
    response.setHeader('content-length', data.length);
    const pieces = async function* () {
      for (let at = 0; at < data.length; at += Number(step)) {
        yield data.subarray(at, at + Number(step));
        if (pauseMs !== undefined) await sleep(Number(pauseMs));
      }
    };
    // Ends with an error where the client leaves early.
    await pipeline(pieces, response).catch(() => undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  origin = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
});

test('memory that is read into again holds nothing that is still looked at', async () => {
  const client = new HttpClient({ stallTimeoutMs: 30_000, plainHttp: [] });
  try {
    for (const step of [20_000, 70_000, 3 * MIB]) {
      const digests = blobs.map(async (_, i) => {
        const url = new URL(`${origin}/${i}/${step}`);
        const answer = await client.send({ method: 'GET', url, headers: {} });
        const hash = createHash('sha256');
        for await (const chunk of client.readBody(answer, undefined)) {
          // Others are read meanwhile; the chunk is ours until the next one is asked for.
          if (i % 2 === 0) await new Promise(setImmediate);
          hash.update(chunk);
        }
        return hash.digest('hex');
      });
      expect(await Promise.all(digests)).toEqual(blobs.map((data) => createHash('sha256').update(data).digest('hex')));
    }
  } finally {
    await client.close();
  }
});

test('what comes in small parts to a slow reader is not copied, and takes a few pieces of memory', async () => {
  const client = new HttpClient({ stallTimeoutMs: 30_000, plainHttp: [] });
  const memory = new Set<ArrayBufferLike>();
  let bytes = 0;
  try {
    const answer = await client.send({ method: 'GET', url: new URL(`${origin}/0/20000/1`), headers: {} });
    for await (const chunk of client.readBody(answer, undefined)) {
      memory.add(chunk.buffer);
      bytes += chunk.length;
      await sleep(10);
    }
  } finally {
    await client.close();
  }
  expect(bytes).toBe(blobs[0]?.length);
  // Two in turns, and those whose beginning was the head.
  expect(memory.size).toBeLessThan(5);
});

test('a body that is left early leaves the next one alone', async () => {
  const client = new HttpClient({ stallTimeoutMs: 30_000, plainHttp: [] });
  try {
    const url = new URL(`${origin}/0/${MIB}`);
    for await (const _ of client.readBody(await client.send({ method: 'GET', url, headers: {} }), undefined)) break;
    const chunks: Buffer[] = [];
    const answer = await client.send({ method: 'GET', url, headers: {} });
    for await (const chunk of client.readBody(answer, undefined)) chunks.push(Buffer.from(chunk));
    expect(Buffer.concat(chunks).equals(blobs[0] ?? Buffer.alloc(0))).toBe(true);
  } finally {
    await client.close();
  }
});
