import { Options } from '../generated/github.com/containerd/containerd/api/types/runc/options/oci.js';
import type { Any } from '../generated/google/protobuf/any.js';

/** Options of runc's shim. In the container's record they are those of every task, the first and each later one. */
export function packRuncOptions(binaryName: string): Any {
  return {
    typeUrl: 'containerd.runc.v1.Options',
    value: Buffer.from(Options.encode(Options.create({ binaryName })).finish()),
  };
}
