import type { Channel } from '../rpc/channel.js';
import { probeServer } from '../rpc/probe.js';
import { readHostFacts } from '../session/host.js';
import { assertHost } from './options.js';

export interface HealthResult {
  healthy: boolean;
  message: string;
  /** `version` is the daemon's. */
  details: Record<string, unknown>;
}

/** Whether sessions can run here and now. */
export async function checkHealth(channel: Channel): Promise<HealthResult> {
  const { address, namespace } = channel;
  try {
    assertHost();
    const { version } = await probeServer(channel);
    const host = readHostFacts();
    return {
      healthy: true,
      message: `containerd ${version} answers at ${address}`,
      details: { version, address, namespace, ...host },
    };
  } catch (error) {
    return { healthy: false, message: (error as Error).message, details: { address, namespace } };
  }
}
