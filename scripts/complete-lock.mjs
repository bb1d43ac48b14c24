// Completes package-lock.json after an `npm install` behind a registry mirror that lacks the binaries of other
// platforms: npm then leaves them out, and `npm ci` refuses the lock file everywhere. Their versions are known, as
// those who ask for them pin them. Usage: node scripts/complete-lock.mjs [LOCK_FILE]
import { readFileSync, writeFileSync } from 'node:fs';

const path = process.argv[2] ?? 'package-lock.json';
const lock = JSON.parse(readFileSync(path, 'utf8'));
const systems = ['android', 'darwin', 'freebsd', 'linux', 'openharmony', 'win32'];
const processors = ['arm64', 'ia32', 'ppc64', 'riscv64', 's390x', 'x64', 'arm'];

let added = 0;
for (const [owner, { optionalDependencies = {}, dev }] of Object.entries(lock.packages)) {
  if (owner === '') continue;
  for (const [name, version] of Object.entries(optionalDependencies)) {
    const known = [`${owner}/node_modules/${name}`, `node_modules/${name}`].some((key) => lock.packages[key]);
    if (known || !/^\d+\.\d+\.\d+/.test(version)) continue;
    const words = name.split(/[/-]/);
    const os = systems.find((system) => words.includes(system));
    // 32-bit arm goes by many names: armv7, arm-gnueabihf.
    const cpu = processors.find((processor) => words.includes(processor)) ?? (/arm/.test(name) ? 'arm' : undefined);
    if (!os || !cpu) throw new Error(`cannot tell the platform of ${name}, which ${owner} wants`);
    const musl = words.some((word) => word.startsWith('musl'));
    lock.packages[`node_modules/${name}`] = {
      version,
      cpu: [cpu],
      ...(dev ? { dev } : {}),
      ...(os === 'linux' && cpu !== 'arm' ? { libc: [musl ? 'musl' : 'glibc'] } : {}),
      optional: true,
      os: [os],
    };
    added++;
  }
}
const [root, ...rest] = Object.keys(lock.packages);
lock.packages = Object.fromEntries([root, ...rest.sort()].map((key) => [key, lock.packages[key]]));
writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`${path}: ${added} packages of other platforms added`);
