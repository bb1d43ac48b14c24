import { expect } from 'vitest';
import { listImages, removeImage } from '../../src/image/image.js';
import type { Channel } from '../../src/rpc/channel.js';
import { observeApi } from '../support/api-state.js';

export const EMPTY_STATE = {
  containers: [],
  tasks: [],
  snapshots: [],
  leases: [],
  images: [],
  content: [],
  ingests: [],
};

/** Whatever a test imported goes with its name, and nothing is left. */
export async function expectNothingStays(channel: Channel): Promise<void> {
  for (const { name } of await listImages(channel)) await removeImage(channel, name, { sync: true });
  expect(await observeApi(channel)).toEqual(EMPTY_STATE);
}
