import { DriverError, hasCode } from '../core/error.js';
import { IntrospectionService } from '../generated/github.com/containerd/containerd/api/services/introspection/v1/introspection.js';
import { VersionService } from '../generated/github.com/containerd/containerd/api/services/version/v1/version.js';
import { Empty } from '../generated/google/protobuf/empty.js';
import type { Channel } from './channel.js';

/** What to do where nobody answers. */
export const socketRemedy = 'start containerd, or name its socket with CONTAINERD_ADDRESS';

export interface ServerInfo {
  /** As the daemon prints it, such as `1.6.20~ds1` or `2.1.9+unknown`. */
  version: string;
  /** Of the daemon's data directory; it stays the same over restarts. */
  uuid: string;
}

/**
 * Asks who answers on the socket. Fails fast, with what is wrong with the address, when it is no containerd; one that is
 * only slow has as long as for any call.
 */
export async function probeServer(channel: Channel, signal?: AbortSignal): Promise<ServerInfo> {
  const options = { signal, retryMs: 0 };
  try {
    const { version } = await channel.unary(VersionService.version, Empty.create(), options);
    const { uuid } = await channel.unary(IntrospectionService.server, Empty.create(), options);
    return { version, uuid };
  } catch (error) {
    if (hasCode(error, 'canceled')) throw error;
    const reason = describe(error, channel);
    throw new DriverError('unavailable', `no containerd answers at ${channel.address}: ${reason}`, {
      operation: 'connect',
      // A privileged process may lack the capability to open what is another user's.
      remedy: /\bEACCES\b/.test(reason) ? 'let this process open the socket, which its user may not' : socketRemedy,
      cause: error,
    });
  }
}

function describe(error: unknown, { callTimeoutMs }: Channel): string {
  if (hasCode(error, 'deadline-exceeded')) return `no answer in ${callTimeoutMs} ms`;
  if (hasCode(error, 'unimplemented')) return 'something else listens there';
  return error instanceof Error ? error.message : String(error);
}
