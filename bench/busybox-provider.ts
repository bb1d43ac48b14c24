import { join } from 'node:path';
import { Readable } from 'node:stream';
import { ContainerdProvider } from '../src/index.js';
import { BUSYBOX_REFERENCE, buildDockerArchive } from '../test/support/busybox.js';
import { type Daemon, nameNamespace } from '../test/support/daemon.js';

/** A provider of a daemon of one's own, with an image of busybox as its default. */
export async function openBusyboxProvider({ address, root }: Daemon): Promise<ContainerdProvider> {
  const stateRoot = join(root, 'sessions');
  const provider = new ContainerdProvider({ image: BUSYBOX_REFERENCE, address, namespace: nameNamespace(), stateRoot });
  await provider.images.import(Readable.from([buildDockerArchive()]));
  return provider;
}
