import { CapabilityMismatchError, createInputError } from '../core/error.js';
import type { ExecResult } from '../session/exec-options.js';
import type { HealthResult } from './health.js';
import type { ContainerdProvider } from './provider.js';

/** What the framework's older Kata provider asks of an adapter for each sandbox. */
export interface SandboxOptions {
  /** As a provider's `runtime`: `kata`, or containerd's full name. */
  runtime: string;
  /** Without it the host's memory is the limit. */
  memoryLimitBytes?: number;
  /** As OCI's `linux.resources.cpu.quota`: us of processor time in each 100,000 us, so that 200,000 is two cores. */
  cpuQuota?: number;
  /** True is no network. False asks for the `full` mode. */
  networkIsolation: boolean;
  /** As in `IsolationPolicy`. */
  readOnlyRootfs: boolean;
  /** Refused by name unless empty. */
  annotations?: Record<string, string>;
}

const PERIOD_US = 100_000;
/** The kernel takes no less in a period (sched-bwc.rst); less than it are cores where a quota was to stand. */
const QUOTA_US = 1_000;

/**
 * The adapter of the framework's older Kata provider, on real sessions: its option `adapter`. A sandbox is
 * the session whose name is the sandbox's id.
 */
export class ContainerdKataAdapter {
  readonly #provider: ContainerdProvider;
  /** Session ids of the sandboxes that were created here: those of others are found by name. */
  readonly #sessionIds = new Map<string, string>();

  constructor(provider: ContainerdProvider) {
    this.#provider = provider;
  }

  /** Resolves when the sandbox runs. Refuses annotations by name, as a session's are made from its policy. */
  async createSandbox(id: string, options: SandboxOptions): Promise<void> {
    const { runtime, memoryLimitBytes, cpuQuota, networkIsolation, readOnlyRootfs, annotations = {} } = options;
    const names = Object.keys(annotations);
    if (names.length > 0) {
      const expected = 'nothing: a session makes its annotations from its policy';
      const faults = names.map((name) => ({ path: `annotations["${name}"]`, value: annotations[name], expected }));
      throw new CapabilityMismatchError('containerd', faults);
    }
    if (cpuQuota !== undefined && !(Number.isSafeInteger(cpuQuota) && cpuQuota >= QUOTA_US)) {
      const expected = `a whole number of us in each ${PERIOD_US}, at least ${QUOTA_US}`;
      throw createInputError('sandbox', [{ path: 'cpuQuota', value: cpuQuota, expected }]);
    }
    const { sessionId } = await this.#provider.createSession({
      name: id,
      runtime,
      networkIsolation,
      readOnlyRootfs,
      ...(memoryLimitBytes === undefined ? {} : { memory: memoryLimitBytes }),
      ...(cpuQuota === undefined ? {} : { cpu: cpuQuota / PERIOD_US }),
    });
    this.#sessionIds.set(id, sessionId);
  }

  /** Runs a command to its end, see `Session.exec`. Throws `not-found` for a sandbox that is none. */
  async execInSandbox(id: string, argv: readonly string[]): Promise<ExecResult> {
    return this.#provider.exec(this.#find(id), argv);
  }

  /** SIGTERM, a grace of ten seconds, SIGKILL. */
  async stopSandbox(id: string): Promise<void> {
    await this.#provider.stopSession(this.#find(id));
  }

  /** Removes every trace of it; one that is gone already is none to complain of. */
  async destroySandbox(id: string): Promise<void> {
    await this.#provider.destroySession(this.#find(id));
    this.#sessionIds.delete(id);
  }

  #find(id: string): string {
    return this.#sessionIds.get(id) ?? id;
  }

  /** As the provider's. Never rejects. */
  healthCheck(): Promise<HealthResult> {
    return this.#provider.healthCheck();
  }
}
