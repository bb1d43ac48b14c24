import { join } from 'node:path';
import { afterAll } from 'vitest';
import { ContainerdProvider } from '../../src/index.js';
import type { ProviderOptions } from '../../src/provider/options.js';
import type { DetectorOptions } from '../../src/session/runtime-detector.js';
import { context } from './context.js';
import { ASKED_EXECUTOR } from './executor.js';

/** Of tests that need no network: most do not, and are the quicker for it. */
export const offline = { networkMode: 'none' } as const;

/** A provider on this file's namespace, with the busybox image imported; disposed after the file's tests. */
export async function openProvider(
  options: Partial<ProviderOptions> = {},
  detector: DetectorOptions = {},
): Promise<ContainerdProvider> {
  const { address, namespace, stateRoot, callTimeoutMs, images, runtime, runtimeBinary, hostRoot } = context;
  const given = {
    runtime,
    ...(runtimeBinary === undefined ? {} : { runtimeBinary }),
    ...(ASKED_EXECUTOR === 'auto' ? {} : { executor: ASKED_EXECUTOR }),
    image: images.reference,
    address,
    namespace,
    stateRoot,
    callTimeoutMs,
    volumeRoot: join(context.root, 'volumes'),
  };
  const provider = new ContainerdProvider(
    { ...given, ...options, policy: { ...offline, ...options.policy } },
    { hostRoot, ...detector },
  );
  afterAll(() => provider[Symbol.asyncDispose]());
  await provider.importImage(images.dockerArchive);
  return provider;
}
