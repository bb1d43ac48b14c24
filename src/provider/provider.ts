import { createHash, randomBytes } from 'node:crypto';
import { CapabilityMismatchError, createInputError } from '../core/error.js';
import { getImage } from '../image/image.js';
import { findMismatches } from '../policy/capabilities.js';
import { parsePolicy } from '../policy/parse.js';
import type { FlatPolicy, IsolationPolicy } from '../policy/types.js';
import { Channel } from '../rpc/channel.js';
import { probeServer, type ServerInfo } from '../rpc/probe.js';
import { buildSpec } from '../spec/build.js';
import { chooseRuntime } from '../spec/runtime.js';
import { nameStateDirectory, type SessionContext } from '../session/context.js';
import { createSession } from '../session/create.js';
import { readHostFacts } from '../session/host.js';
import { describeOwner } from '../session/owner.js';
import type { Session } from '../session/session.js';
import { assertHost, type ProviderOptions, type ResolvedOptions, resolveOptions } from './options.js';

export interface HealthResult {
  healthy: boolean;
  message: string;
  details: Record<string, unknown>;
}

/** Runs sessions on one containerd. Nothing is connected or created before the first call. */
export class ContainerdProvider implements AsyncDisposable {
  readonly name = 'containerd';
  readonly #options: ResolvedOptions;
  readonly #channel: Channel;
  readonly #sessions = new Set<Session>();
  #server: Promise<ServerInfo> | undefined;
