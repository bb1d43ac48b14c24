import { Options as RuncOptions } from '../generated/github.com/containerd/containerd/api/types/runc/options/oci.js';
import { Options } from '../generated/github.com/containerd/containerd/api/types/runtimeoptions/v1/api.js';
import type { Any } from '../generated/google/protobuf/any.js';
import type { ShimOptions } from '../spec/runtime.js';

/** Options of a shim. In the container's record they are those of every task, the first and each later one. */
export function packShimOptions(options: ShimOptions): Any {
  const bytes =
    options.type === 'containerd.runc.v1.Options'
      ? RuncOptions.encode(RuncOptions.fromPartial(options))
      : Options.encode(Options.fromPartial(options));
  return { typeUrl: options.type, value: Buffer.from(bytes.finish()) };
}
