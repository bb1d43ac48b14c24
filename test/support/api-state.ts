/** What a containerd namespace holds in the daemon's own view. */
import { randomBytes } from 'node:crypto';
import { ContainersService } from '../../src/generated/github.com/containerd/containerd/api/services/containers/v1/containers.js';
import { ContentService } from '../../src/generated/github.com/containerd/containerd/api/services/content/v1/content.js';
import { ImagesService } from '../../src/generated/github.com/containerd/containerd/api/services/images/v1/images.js';
import { LeasesService } from '../../src/generated/github.com/containerd/containerd/api/services/leases/v1/leases.js';
import { SnapshotsService } from '../../src/generated/github.com/containerd/containerd/api/services/snapshots/v1/snapshots.js';
import { TasksService } from '../../src/generated/github.com/containerd/containerd/api/services/tasks/v1/tasks.js';
import { Channel } from '../../src/rpc/channel.js';

export interface ApiState {
  readonly containers: readonly string[];
  readonly tasks: readonly string[];
  readonly snapshots: readonly string[];
  readonly leases: readonly string[];
  readonly images: readonly string[];
  readonly content: readonly string[];
  /** Half-written content. */
  readonly ingests: readonly string[];
}

/** Lists by name, sorted. */
export async function observeApi(scope: { address: string; namespace: string }): Promise<ApiState> {
  const channel = new Channel(scope);
  try {
    const { containers } = await channel.unary(ContainersService.list, { filters: [] });
    const { tasks } = await channel.unary(TasksService.list, { filter: '' });
    const { leases } = await channel.unary(LeasesService.list, { filters: [] });
    const { images } = await channel.unary(ImagesService.list, { filters: [] });
    const { statuses } = await channel.unary(ContentService.listStatuses, { filters: [] });
    const snapshots: string[] = [];
    const listing = { snapshotter: 'overlayfs', filters: [] };
    for await (const { info } of channel.serverStream(SnapshotsService.list, listing)) {
      snapshots.push(...info.map(({ name }) => name));
    }
    const content: string[] = [];
    for await (const { info } of channel.serverStream(ContentService.list, { filters: [] })) {
      content.push(...info.map(({ digest }) => digest));
    }
    return {
      containers: containers.map(({ id }) => id).sort(),
      tasks: tasks.map(({ id }) => id).sort(),
      snapshots: snapshots.sort(),
      leases: leases.map(({ id }) => id).sort(),
      images: images.map(({ name }) => name).sort(),
      content: content.sort(),
      ingests: statuses.map(({ ref }) => ref).sort(),
    };
  } finally {
    channel.close();
  }
}

/**
 * Makes the daemon collect garbage now, by its only synchronous trigger. It does so by itself at a later mutation: a
 * test that compares content or snapshots calls this on both sides. It frees what nothing refers to and no more.
 */
export async function collectGarbage(scope: { address: string; namespace: string }): Promise<void> {
  const channel = new Channel(scope);
  try {
    const { lease } = await channel.unary(LeasesService.create, {
      id: `gc-${randomBytes(6).toString('hex')}`,
      labels: {},
    });
    await channel.unary(LeasesService.delete, { id: lease?.id ?? '', sync: true });
  } finally {
    channel.close();
  }
}
