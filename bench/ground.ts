/** The ground all peers share: one private containerd, one image, one spec, one private dockerd. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BUSYBOX_REFERENCE, buildDockerArchive } from '../test/support/busybox.js';
import type { Generation } from '../test/support/containerd-binary.js';
import { type Daemon, nameNamespace, startDaemon } from '../test/support/daemon.js';
import { run } from './build.js';

/** The same limits for everyone; networkMode none means a network namespace of its own with nothing in it. */
export const POLICY = { networkMode: 'none', resources: { memoryMb: 256, cpus: 1, pidsLimit: 128 } };

/** The only layer of the image that `buildDockerArchive` makes. */
const LAYER = 'layer-0/layer.tar';

/** Where a hybrid host has its controllers of v2 (systemd's name of it). */
const UNIFIED = '/sys/fs/cgroup/unified';

export interface Ground {
  readonly daemon: Daemon;
  readonly address: string;
  readonly namespace: string;
  readonly image: string;
  /** The image as `docker save` writes it. */
  readonly archive: string;
  /** The image's root file system, unpacked. */
  readonly rootfs: string;
  /** Where the OCI spec that all share is written, with `@ID@` for the session's id. */
  readonly template: string;
  /** A directory of a peer's own. */
  scratch(name: string): string;
}

/** Calls `defer` with the undo of each thing as soon as it is there. */
export async function layGround(generation: Generation, defer: (undo: () => unknown) => void): Promise<Ground> {
  const root = mkdtempSync(join(tmpdir(), 'cadre-bench-'));
  defer(() => rmSync(root, { recursive: true, force: true }));
  const daemon = await startDaemon({ generation });
  defer(() => daemon.stop());
  const ground: Ground = {
    daemon,
    address: daemon.address,
    namespace: nameNamespace(),
    image: BUSYBOX_REFERENCE,
    archive: join(root, 'image.tar'),
    rootfs: join(root, 'rootfs'),
    template: join(root, 'spec.json'),
    scratch: (name) => {
      const directory = join(root, name);
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      return directory;
    },
  };
  writeFileSync(ground.archive, buildDockerArchive());
  runCtr(ground, 'images', 'import', ground.archive);
  mkdirSync(ground.rootfs);
  run('tar', ['-x', '-f', ground.archive, '-C', root, LAYER], {});
  run('tar', ['-x', '-f', join(root, LAYER), '-C', ground.rootfs], {});
  return ground;
}

/** The same on another containerd, which sees plain control groups where the host has hybrid ones; its runtime does too. */
export async function layPlainGround(ground: Ground, defer: (undo: () => unknown) => void): Promise<Ground> {
  const { generation } = ground.daemon;
  const isHybrid = existsSync(UNIFIED);
  const daemon = await startDaemon({ generation, ...(isHybrid ? { prelude: `umount ${UNIFIED}` } : {}) });
  defer(() => daemon.stop());
  const plain = { ...ground, daemon, address: daemon.address, namespace: nameNamespace() };
  runCtr(plain, 'images', 'import', plain.archive);
  return plain;
}

export function runCtr({ address, namespace }: Ground, ...args: readonly string[]): string {
  return run('ctr', ['--address', address, '--namespace', namespace, ...args], {});
}
