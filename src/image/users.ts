import { DriverError } from '../core/error.js';
import { ContainersService } from '../generated/github.com/containerd/containerd/api/services/containers/v1/containers.js';
import type { Channel } from '../rpc/channel.js';
import { findImage, type RemoveImageOptions, removeImage } from './image.js';

/** How a name is removed that sessions may stand on. */
export interface RemoveUsedImageOptions extends RemoveImageOptions {
  /**
   * Remove the name although sessions or other clients' containers were made of it. They run on, and a session keeps
   * its layers and documents until it is destroyed. Defaults to false, which refuses with `failed-precondition`.
   */
  force?: boolean;
}

/** Ids of the containers that were made of each image, by its name; those of other clients too. */
export async function listUsers(channel: Channel): Promise<Map<string, string[]>> {
  const { containers } = await channel.unary(ContainersService.list, { filters: [] });
  const users = new Map<string, string[]>();
  for (const { id, image } of containers) users.set(image, [...(users.get(image) ?? []), id]);
  return users;
}

/** Removes an image that nothing was made of, or any with `force`. */
export async function removeUnusedImage(
  channel: Channel,
  reference: string,
  { force = false, ...options }: RemoveUsedImageOptions = {},
): Promise<void> {
  const { name } = await findImage(channel, reference, { signal: options.signal });
  const ids = force ? [] : ((await listUsers(channel)).get(name) ?? []);
  if (ids.length > 0) {
    const message = `image ${name} is in use by ${ids.join(', ')}: destroy what uses it, or remove it with force`;
    throw new DriverError('failed-precondition', message, { operation: 'remove image' });
  }
  await removeImage(channel, name, options);
}
