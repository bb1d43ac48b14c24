import { DriverError } from '../core/error.js';
import type { Channel } from '../rpc/channel.js';
import { checkContainerd, checkRuntime, type HostCheck } from '../spec/prerequisites.js';
import { findDaemon } from './daemon.js';
import { type FactsRequest, readRuntimeFacts } from './runtime-facts.js';
import { askShim } from './shim.js';

/** For how long what was found to be there is taken to be there still, in ms. */
const FRESH_MS = 60_000;

/** A runtime that sessions are to have. */
export type RuntimeRequest = Pick<FactsRequest, 'runtime' | 'runtimeBinary' | 'configPath' | 'systemdCgroup'>;

export interface DetectorOptions {
  /** See `FactsRequest.hostRoot`. */
  hostRoot?: string | undefined;
}

/** Looks whether a runtime is there before anything is created for it. The same checks are those of `healthCheck`. */
export class RuntimeDetector {
  readonly #channel: Channel;
  readonly #hostRoot: string | undefined;
  /** What was looked for last, and when; what was not found is looked for again. */
  readonly #found = new Map<string, { since: number; looking: Promise<void> }>();

  constructor(channel: Channel, { hostRoot }: DetectorOptions = {}) {
    this.#channel = channel;
    this.#hostRoot = hostRoot;
  }

  /** What a runtime stands on, with remedies. Looks at this host alone where no containerd answers. */
  async check(request: RuntimeRequest, { isThorough = true, isReachable = true } = {}): Promise<HostCheck[]> {
    const reached = isReachable
      ? { daemon: await findDaemon(this.#channel), answers: await askShim(this.#channel, request.runtime) }
      : {};
    const facts = await readRuntimeFacts({ ...request, ...reached, isThorough, hostRoot: this.#hostRoot });
    return checkRuntime(request.runtime, facts);
  }

  /**
   * Throws `failed-precondition` with every missing part and how to get it, for a containerd of that version. What is
   * missing is never replaced by another runtime.
   */
  require(request: RuntimeRequest, version: string): Promise<void> {
    const key = JSON.stringify({ ...request, version });
    const known = this.#found.get(key);
    if (known !== undefined && Date.now() - known.since < FRESH_MS) return known.looking;
    const looking = this.#look(request, version);
    // Of many creations at once one looks.
    this.#found.set(key, { since: Date.now(), looking });
    looking.catch(() => this.#found.delete(key));
    return looking;
  }

  async #look(request: RuntimeRequest, version: string): Promise<void> {
    const containerd = checkContainerd(version);
    // An older one is not asked: it may not know what is asked.
    const checks = containerd.state === 'failed' ? [containerd] : await this.check(request, { isThorough: false });
    const missing = checks.filter(({ state }) => state === 'failed');
    if (missing.length > 0) throw describeMissing(request.runtime, missing);
  }
}

function describeMissing(runtime: string, missing: readonly HostCheck[]): DriverError {
  const parts = missing.map(({ name, found, remedy }) => `${name} (${found}): ${remedy}`);
  const remedy = missing.map((check) => check.remedy).join('; ');
  const message = `sessions cannot run on ${runtime} here; ${parts.join('; ')}`;
  return new DriverError('failed-precondition', message, { operation: 'detect the runtime', remedy });
}
