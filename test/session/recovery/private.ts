/** A containerd of a file's own, for tests that kill it or count what is left on it. */

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll } from 'vitest';
import { ContainerdProvider } from '../../../src/index.js';
import { Channel } from '../../../src/rpc/channel.js';
import { nameStateDirectory } from '../../../src/session/context.js';
import { type ReapReport, reapLeftovers } from '../../../src/session/reap.js';
import { context } from '../../support/context.js';
import { type Daemon, type DaemonOptions, nameNamespace, startDaemon } from '../../support/daemon.js';
import { DOUBLED } from '../../support/kata-host.js';
import type { Scope } from '../../support/leaks.js';
import { offline } from '../../support/provider.js';
import { makeSessionContext } from '../../support/session-context.js';

/** Of providers on such a daemon: where the parts of Kata are looked for. */
export const detector = { hostRoot: context.hostRoot };

/** The long variants, which `npm run soak` runs. */
export const isSoak = process.env.CADRE_SOAK !== undefined;

export interface PrivateHost {
  daemon: Daemon;
  scope: Scope & { stateRoot: string };
  /** For a provider in another process; its image is there already. */
  options: {
    image: string;
    address: string;
    namespace: string;
    stateRoot: string;
    volumeRoot: string;
    policy: typeof offline;
    runtime: 'runc' | 'kata';
    callTimeoutMs: number;
  };
  provider: ContainerdProvider;
  channel: Channel;
  /** As the provider does, of whatever age things are. */
  reap(): Promise<ReapReport>;
  /** Until there was nothing to reap three times in a row: a daemon ends what a dead client began when it gets to it. */
  reapAll(): Promise<void>;
}

/** Goes after the file's tests. */
export async function openPrivateHost(daemonOptions: DaemonOptions = {}): Promise<PrivateHost> {
  const { generation, images, isKata, runtime, callTimeoutMs } = context;
  const daemon = await startDaemon({ generation, ...(isKata ? DOUBLED : {}), ...daemonOptions });
  afterAll(() => daemon.stop());
  const { address, root } = daemon;
  const scope = { address, root, namespace: nameNamespace(), stateRoot: join(root, 'sessions') };
  const volumeRoot = join(root, 'volumes');
  const { namespace, stateRoot } = scope;
  const shared = { image: images.reference, policy: offline, runtime, callTimeoutMs };
  const options = { ...shared, address, namespace, stateRoot, volumeRoot };
  const provider = new ContainerdProvider(options, detector);
  afterAll(() => provider[Symbol.asyncDispose]());
  await provider.importImage(images.dockerArchive);
  const channel = new Channel(scope);
  afterAll(() => channel.close());
  const session = makeSessionContext(
    channel,
    nameStateDirectory(scope.stateRoot, channel),
    nameStateDirectory(volumeRoot, channel),
  );
  const reap = () => reapLeftovers(session, { minAgeMs: 0 });
  const reapAll = async () => {
    for (let round = 0, quiet = 0; quiet < 3; round++) {
      const { failures, ...removed } = await reap();
      quiet = failures.length + Object.values(removed).flat().length === 0 ? quiet + 1 : 0;
      if (round > 20) throw new Error(`never quiet: ${JSON.stringify(removed)}`, { cause: failures });
      await sleep(200);
    }
  };
  return { daemon, scope, options, provider, channel, reap, reapAll };
}
