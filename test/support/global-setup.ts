/** One private daemon and one set of images for all files of a `containerd-*` project. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { readHostFacts } from '../../src/session/host.js';
import { BUSYBOX_REFERENCE, buildDockerArchive, buildOciLayout } from './busybox.js';
import { GENERATIONS, type Generation } from './containerd-binary.js';
import { startDaemon } from './daemon.js';
import { DOUBLED, makeKataHost } from './kata-host.js';

/** What test files get through `inject('daemon')`, see context.ts. */
export interface ProvidedDaemon {
  readonly address: string;
  readonly root: string;
  readonly generation: Generation;
  readonly version: string;
  /** Of sessions whose test names none. */
  readonly runtime: 'runc' | 'kata';
  /** The provider's option of this name, of sessions whose test names none. */
  readonly runtimeBinary: string | undefined;
  /** For `DetectorOptions`: where Kata's prerequisites are looked for. */
  readonly hostRoot: string | undefined;
  readonly images: {
    readonly reference: string;
    readonly dockerArchive: string;
    readonly ociLayout: string;
  };
}

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const [, runtime, number] = /^(containerd|kata|crun)-(.*)$/.exec(project.name) ?? [];
  const generation = GENERATIONS.find((candidate) => candidate === number);
  if (!generation) throw new Error(`no containerd generation in the project's name: ${project.name}`);
  const isKata = runtime === 'kata';
  const isCrun = runtime === 'crun';
  if (isCrun && readHostFacts().cgroup !== 'v2') {
    throw new Error(`crun refuses this host's control groups: npm run test:vm -- --project ${project.name}`);
  }
  const daemon = await startDaemon({ generation, ...(isKata ? DOUBLED : {}) });
  const { address, root, version } = daemon;
  // Below the daemon's root, so that it goes with it.
  const directory = join(root, 'images');
  mkdirSync(directory);
  const images = {
    reference: BUSYBOX_REFERENCE,
    dockerArchive: join(directory, 'docker.tar'),
    ociLayout: join(directory, 'oci.tar'),
  };
  writeFileSync(images.dockerArchive, buildDockerArchive());
  writeFileSync(images.ociLayout, buildOciLayout());
  project.provide('daemon', {
    address,
    root,
    generation,
    version,
    runtime: isKata ? 'kata' : 'runc',
    runtimeBinary: isCrun ? '/usr/bin/crun' : undefined,
    hostRoot: isKata ? makeKataHost(join(root, 'kata-host')) : undefined,
    images,
  });
  return () => daemon.stop();
}

declare module 'vitest' {
  interface ProvidedContext {
    daemon: ProvidedDaemon;
  }
}
