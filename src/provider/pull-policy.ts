import { DriverError, hasCode } from '../core/error.js';
import { getImage, type Image } from '../image/image.js';
import { parseReference } from '../image/reference.js';
import type { Channel } from '../rpc/channel.js';
import type { PullPolicy } from './options.js';

export interface ProvideOptions {
  policy: PullPolicy;
  /** See `GetImageOptions.known`. */
  known: Image | undefined;
  pull(): Promise<Image>;
  signal: AbortSignal | undefined;
}

/** The image of that reference, pulled when the policy says so. */
export async function provideImage(
  channel: Channel,
  reference: string,
  { policy, known, pull, signal }: ProvideOptions,
): Promise<Image> {
  if (policy === 'always') return pull();
  const { digest } = parseReference(reference);
  try {
    const image = await getImage(channel, reference, { known, signal });
    if (digest === undefined || image.target.digest === digest) return image;
    const message = `${image.name} stands for ${image.target.digest} in namespace ${channel.namespace}`;
    throw new DriverError('not-found', message, { operation: 'get image' });
  } catch (error) {
    if (policy === 'never' || !hasCode(error, 'not-found')) throw error;
    return pullMissing(pull, error);
  }
}

/** To its caller the image is not there, whatever the registry said: that is the cause. */
async function pullMissing(pull: () => Promise<Image>, absence: DriverError): Promise<Image> {
  try {
    return await pull();
  } catch (cause) {
    if (!(cause instanceof DriverError) || cause.code === 'canceled') throw cause;
    const message = `${absence.message}, and it cannot be pulled: ${cause.message}`;
    throw new DriverError('not-found', message, { operation: 'get image', cause });
  }
}
