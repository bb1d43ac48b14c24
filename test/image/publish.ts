/** Images in a registry, put there by our own client and without any containerd, wrong ones as well. */

import { parseReference } from '../../src/image/reference.js';
import type { RegistryOptions } from '../../src/image/registry/options.js';
import { Repository } from '../../src/image/registry/repository.js';
import { uploadBlob, uploadManifest } from '../../src/image/registry/upload.js';
import type { TestBlob } from './archives.js';

/** The last of the blobs is what the reference stands for; others with `manifests` or `layers` are put by digest. */
export async function publish(reference: string, blobs: TestBlob[], registry: RegistryOptions = {}): Promise<string> {
  const wanted = parseReference(reference);
  const repository = new Repository(wanted, registry);
  const { signal } = new AbortController();
  try {
    for (const [i, { data, descriptor }] of blobs.entries()) {
      if (/manifest|index/.test(descriptor.mediaType)) {
        const as = i === blobs.length - 1 ? (wanted.tag ?? descriptor.digest) : descriptor.digest;
        await uploadManifest(repository, descriptor, { data, as, signal });
        continue;
      }
      const read = async (offset: number, size: number) => data.subarray(offset, offset + size);
      await uploadBlob(repository, descriptor, { from: [], read, onBytes: () => undefined, signal });
    }
  } finally {
    await repository.close();
  }
  return reference;
}
