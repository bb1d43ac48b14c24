import { hasCode } from '../core/error.js';
import { IntrospectionService } from '../generated/github.com/containerd/containerd/api/services/introspection/v1/introspection.js';
import { RuntimeRequest } from '../generated/github.com/containerd/containerd/api/types/introspection.js';
import type { Channel } from '../rpc/channel.js';
import { explainFailure } from '../spec/failures.js';

/** For containerd to run a shim that tells of itself, in ms. */
const ASK_MS = 1_500;

/**
 * Has containerd 2 ask the shim itself: it looks where it will look for a session's. False when there is none; undefined
 * when the answer tells neither, as of 1.x, which has no such call.
 */
export async function askShim(channel: Channel, runtime: string): Promise<boolean | undefined> {
  const value = Buffer.from(RuntimeRequest.encode(RuntimeRequest.fromPartial({ runtimePath: runtime })).finish());
  const options = { typeUrl: 'containerd.types.RuntimeRequest', value };
  try {
    const request = { type: 'io.containerd.runtime.v2', id: 'task', options };
    await channel.unary(IntrospectionService.pluginInfo, request, { deadlineMs: ASK_MS });
    return true;
  } catch (error) {
    if (hasCode(error, 'unimplemented', 'deadline-exceeded')) return undefined;
    const text = error instanceof Error ? error.message : String(error);
    // A shim of before 2.0 does not know the option, which shows that it is there.
    if (text.includes('flag provided but not defined: -info')) return true;
    return explainFailure(text)?.part === 'shim' ? false : undefined;
  }
}
