// Runs a TypeScript program of this repository on Node 20, which cannot: node scripts/run-ts.mjs FILE [ARG...]
// Its imports of `src` are then the sources, not `dist`.
import { resolve } from 'node:path';
import { createViteServer } from 'vitest/node';

const [file, ...args] = process.argv.slice(2);
if (!file) throw new Error('usage: run-ts.mjs FILE [ARG...]');
const path = resolve(file);
process.argv = [process.argv[0] ?? 'node', path, ...args];

const server = await createViteServer({
  configFile: false,
  logLevel: 'error',
  // Node 20 knows no `await using`.
  oxc: { target: 'node20' },
  optimizeDeps: { noDiscovery: true },
  server: { middlewareMode: true, hmr: false, ws: false, watch: null },
});
try {
  await server.ssrLoadModule(path);
} finally {
  await server.close();
}
