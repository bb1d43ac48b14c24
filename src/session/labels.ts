import {
  type Container,
  ContainersService,
} from '../generated/github.com/containerd/containerd/api/services/containers/v1/containers.js';
import type { Channel } from '../rpc/channel.js';

/**
 * Sets one label of a session's container; an empty value takes it away. The mask names the one label, so that what
 * others write meanwhile stays. The whole container is sent all the same: daemons read fields that the mask does not name.
 */
export async function setLabel(channel: Channel, container: Container, label: string, value: string): Promise<void> {
  const changed = { ...container, labels: { ...container.labels, [label]: value } };
  const request = { container: changed, updateMask: [`labels.${label}`] };
  await channel.unary(ContainersService.update, request, { idempotent: true });
}
