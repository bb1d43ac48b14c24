import type { Image } from '../image/image.js';
import type { PullOptions } from '../image/pull-options.js';
import { parsePolicy } from '../policy/parse.js';
import { readConfinement } from '../session/confinement.js';
import type { ChosenRuntime, ForkRequest, RuntimeChange, SessionContext } from '../session/context.js';
import type { CreateRequest } from '../session/create.js';
import { readHostFacts } from '../session/host.js';
import { checkNetwork } from '../session/network.js';
import type { HostFacts } from '../spec/host.js';
import { chooseRuntime, nameRuntime } from '../spec/runtime.js';
import type { Connected, Connection, Decisions } from './connection.js';
import { type AskedOptions, parseCreateOptions, type SessionOptions } from './create-options.js';
import { chooseInit } from './executor-choice.js';
import { assertHost, type ResolvedOptions } from './options.js';
import { checkRequest, checkRuntime, planSession } from './plan.js';
import { provideImage } from './pull-policy.js';

interface PlannerParts {
  connection: () => Connection;
  pull: (reference: string, options: PullOptions) => Promise<Image>;
}

/** Decides for one provider what becomes of what is asked for, before anything is created: it is honoured, or refused by name. */
export class Planner implements Decisions {
  readonly #options: ResolvedOptions;
  readonly #parts: PlannerParts;
  readonly #images = new Map<string, Image>();

  constructor(options: ResolvedOptions, parts: PlannerParts) {
    this.#options = options;
    this.#parts = parts;
  }

  /** Where sessions are to run, as far as it is known by now. */
  describePlace(host: HostFacts, runtime = this.#options.runtime) {
    const { snapshotter, allowHostNetwork } = this.#options;
    const containerd = this.#parts.connection().version;
    return { ...host, runtime, snapshotter, hostNetwork: allowHostNetwork, containerd };
  }

  check({ session, policy }: AskedOptions, host = readHostFacts()): void {
    checkRequest(policy, session, this.describePlace(host, session.runtime), this.#options);
  }

  /** Everything that a creation needs. */
  async plan(
    policy: unknown,
    adjust: (asked: AskedOptions) => AskedOptions = (asked) => asked,
  ): Promise<{ context: SessionContext; request: CreateRequest }> {
    const asked = adjust(parseCreateOptions(policy, this.#options.base));
    assertHost();
    const host = readHostFacts();
    this.check(asked, host);
    const { session, policy: resolved } = asked;
    const seccomp = await readConfinement(resolved);
    const { context, uuid } = await this.#parts.connection().connect();
    // Again, now that the daemon is known.
    this.check(asked, host);
    await this.#requireRuntime(session.runtime);
    await checkNetwork(context, resolved);
    const image = await this.#getImage(session);
    const facts = { ...this.#options, context, uuid, host, seccomp };
    return { context, request: planSession(resolved, session, image, facts) };
  }

  /** What a fork may be is judged as what any session may be, on the policy that its parent has unless it gets its own. */
  async planFork(request: ForkRequest, image: Image, connected: Connected): Promise<CreateRequest> {
    const { override, runtime, ...session } = request;
    const host = readHostFacts();
    const policy = override === undefined ? request.policy : parsePolicy(override, { base: this.#options.base });
    checkRequest(policy, session, this.describePlace(host, runtime), this.#options);
    await this.#requireRuntime(runtime);
    const seccomp = await readConfinement(policy);
    await checkNetwork(connected.context, policy);
    return planSession(policy, session, image, { ...this.#options, ...connected, runtime, host, seccomp });
  }

  /** A policy that a runtime cannot honour is refused before anything changes. */
  async chooseRuntime({ runtime, policy, executor, shimGroup, main }: RuntimeChange): Promise<ChosenRuntime> {
    const host = readHostFacts();
    const { runtimeOptions } = this.#options;
    checkRuntime(policy, this.describePlace(host, runtime), { ...this.#options, executor, shimGroup, main });
    await this.#requireRuntime(runtime);
    const chosen = chooseRuntime(runtime, this.#options);
    const init = chooseInit(executor, { runtime: chosen.name, policy, host });
    return { ...init, runtime: chosen, runtimeOptions, host };
  }

  /** Looks whether the runtime is there, once the daemon has answered. */
  async #requireRuntime(runtime = this.#options.runtime): Promise<void> {
    const { runtimeBinary, runtimeOptions } = this.#options;
    const { runtimes, version = '' } = this.#parts.connection();
    const { configPath, systemdCgroup } = runtimeOptions;
    await runtimes.require({ runtime: nameRuntime(runtime), runtimeBinary, configPath, systemdCgroup }, version);
  }

  /** An image's documents never change under one digest, so that they are read once. */
  async #getImage({ image: reference = this.#options.image, ...asked }: SessionOptions): Promise<Image> {
    const { signal, onProgress, pull: policy = this.#options.pull } = asked;
    const known = this.#images.get(reference);
    const options = { known, policy, signal, pull: () => this.#parts.pull(reference, { signal, onProgress }) };
    const image = await provideImage(this.#parts.connection().channel, reference, options);
    this.#images.set(reference, image);
    return image;
  }
}
