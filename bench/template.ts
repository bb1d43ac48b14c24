/** The spec that all peers share is what our library wrote for a session of its own: read back, not written again. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Ground, POLICY, runCtr } from './ground.js';
import type { Peer } from './peer.js';

/** Writes the template and says whose spec it is. */
export async function writeTemplate(ground: Ground, ours: Peer | undefined): Promise<string> {
  if (ours === undefined) {
    captureCtrSpec(ground);
    return "ctr's default with seccomp and limits, as our library could not be asked";
  }
  const { id } = await ours.ask<{ id: string }>('open');
  try {
    storeSpec(ground, id);
  } finally {
    await ours.ask('close');
  }
  return "our library's";
}

function captureCtrSpec(ground: Ground): void {
  const id = 'template';
  const { memoryMb, cpus } = POLICY.resources;
  const limits = [
    '--memory-limit',
    `${memoryMb * 2 ** 20}`,
    '--cpu-quota',
    `${cpus * 100_000}`,
    '--cpu-period',
    '100000',
  ];
  runCtr(ground, 'run', '--detach', '--null-io', '--seccomp', ...limits, ground.image, id, 'sleep', '2147483647');
  storeSpec(ground, id);
  runCtr(ground, 'task', 'rm', '--force', id);
  runCtr(ground, 'container', 'rm', id);
}

function storeSpec(ground: Ground, id: string): void {
  const bundle = join(ground.daemon.root, 'state/io.containerd.runtime.v2.task', ground.namespace, id);
  const text = readFileSync(join(bundle, 'config.json'), 'utf8').replaceAll(id, '@ID@');
  const spec = JSON.parse(text);
  // Files that our library makes for each session, such as /etc/hosts: no other peer has them.
  spec.mounts = spec.mounts.filter(({ source = '' }: { source?: string }) => !source.includes('@ID@'));
  writeFileSync(ground.template, JSON.stringify(spec));
}
