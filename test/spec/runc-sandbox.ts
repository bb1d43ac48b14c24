import { execFileSync, type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parsePolicy } from '../../src/policy/parse.js';
import { readHostFacts } from '../../src/session/host.js';
import { buildSpec } from '../../src/spec/build.js';
import { buildExecProcess, type ExecProcessInput } from '../../src/spec/process.js';
import type { OciSpec } from '../../src/spec/types.js';
import { findSchemaFaults } from './oci-schema.js';
import { buildSyscallProbe } from './syscall-probe.js';

const BUSYBOX = '/bin/busybox';
const RUNC = 'runc';

/** Why nothing can be run here, or undefined where it can. */
export function findObstacle(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'it needs root on Linux';
  if (spawnSync(RUNC, ['--version']).status !== 0) return 'there is no runc';
  if (!existsSync(BUSYBOX)) return `there is no ${BUSYBOX}`;
  return readHostFacts().initPath === undefined ? 'there is no catatonit' : undefined;
}

/** A root file system of busybox, the probe, and Node itself with the libraries that it needs. */
export function makeRootfs(): string {
  const rootfs = mkdtempSync(join(tmpdir(), 'cadre-spec-'));
  chmodSync(rootfs, 0o755);
  for (const dir of ['bin', 'etc', 'root', 'tmp', 'srv']) mkdirSync(join(rootfs, dir));
  copyFileSync(BUSYBOX, join(rootfs, 'bin/busybox'));
  const applets = execFileSync(BUSYBOX, ['--list'], { encoding: 'utf8' }).trim().split('\n');
  for (const applet of applets.filter((name) => name !== 'busybox'))
    symlinkSync('busybox', join(rootfs, 'bin', applet));
  writeFileSync(join(rootfs, 'bin/probe'), buildSyscallProbe(), { mode: 0o755 });
  writeFileSync(join(rootfs, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\nagent:x:1000:1000::/tmp:/bin/sh\n');
  writeFileSync(join(rootfs, 'etc/group'), 'root:x:0:\nagent:x:1000:\n');
  copyFileSync(process.execPath, join(rootfs, 'bin/node'));
  const { sharedObjects } = process.report.getReport() as { sharedObjects: string[] };
  for (const library of sharedObjects.filter((path) => path.startsWith('/'))) {
    mkdirSync(join(rootfs, dirname(library)), { recursive: true });
    copyFileSync(library, join(rootfs, library));
  }
  return rootfs;
}

/** A spec of ours, run by the real runc alone, below a state root of its own. */
export class RuncSandbox {
  readonly spec: OciSpec;
  readonly #dir = mkdtempSync(join(tmpdir(), 'cadre-runc-'));
  readonly #id = `cadre-test-${randomBytes(6).toString('hex')}`;

  /** Built of a policy for root, unless `user` says otherwise, and started. */
  constructor(rootfs: string, policy: unknown, user = { uid: 0, gid: 0 }) {
    const spec = buildSpec({
      policy: parsePolicy(policy),
      image: {},
      host: readHostFacts(),
      hostname: 'sandbox',
      cgroupsPath: `/${this.#id}`,
      user,
      env: {},
    });
    const faults = findSchemaFaults(spec);
    if (faults.length > 0) throw new Error(`the spec is wrong by the specification's schema: ${faults.join('; ')}`);
    this.spec = { ...spec, root: { ...spec.root, path: rootfs } };
    writeFileSync(join(this.#dir, 'config.json'), JSON.stringify(this.spec));
    // The session keeps what it inherits: a pipe would never end.
    const log = join(this.#dir, 'log');
    const made = this.#runc(['--log', log, 'create', '--bundle', this.#dir, this.#id], 'ignore');
    if (made.status !== 0) throw new Error(`runc create: ${execFileSync('cat', [log], { encoding: 'utf8' })}`);
    this.#runc(['start', this.#id]);
  }

  exec(command: string, args: string[] = [], more: Partial<ExecProcessInput> = {}): SpawnSyncReturns<string> {
    const file = join(this.#dir, 'process.json');
    writeFileSync(file, JSON.stringify(buildExecProcess(this.spec, { command, args, env: {}, ...more })));
    return this.#runc(['exec', '--process', file, this.#id]);
  }

  /** What a line of shell prints, its errors included. */
  sh(line: string): string {
    return this.exec('sh', ['-c', `exec 2>&1; ${line}`]).stdout.trim();
  }

  [Symbol.dispose](): void {
    this.#runc(['delete', '--force', this.#id]);
    rmSync(this.#dir, { recursive: true, force: true });
  }

  #runc(args: string[], stdio: 'pipe' | 'ignore' = 'pipe'): SpawnSyncReturns<string> {
    return spawnSync(RUNC, ['--root', join(this.#dir, 'state'), ...args], {
      encoding: 'utf8',
      stdio: ['ignore', stdio, stdio],
      timeout: 120_000,
    });
  }
}
