/**
 * What a daemon and a containerd namespace hold: in the daemon's own view and, apart from it, on the host. Lists and
 * not numbers, so that a failing comparison names what was left:
 *
 *   const before = await observe(scope);
 *   ...
 *   expect(await settle(scope, before)).toEqual(before);
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type ApiState, observeApi } from './api-state.js';
import { type HostState, observeHost } from './host-state.js';
import { relax } from './patience.js';

export { collectGarbage } from './api-state.js';
export { countDescriptors } from './host-state.js';

export interface Scope {
  /** The daemon's socket. */
  readonly address: string;
  /** The daemon's root, see daemon.ts. */
  readonly root: string;
  readonly namespace: string;
  /** Where the library keeps FIFOs and the like, for instance the provider's `stateRoot`. */
  readonly stateRoot?: string;
  /** Ids of sessions of this test: what bears no namespace in its name (a shim's socket, a cgroup) is found by them. */
  readonly ids?: readonly string[];
}

export interface State {
  readonly api: ApiState;
  readonly host: HostState;
}

/** Takes stock now. Needs a daemon that answers; `observeHost` does not. */
export async function observe(scope: Scope): Promise<State> {
  return { api: await observeApi(scope), host: await observeHost(scope) };
}

/**
 * Takes stock until it equals `expected` twice in a row (something may yet appear), or until `timeoutMs` is over, and
 * returns the last stock: the caller compares. A leak is still there afterwards. To give up a creation whose client has
 * ended, containerd waits 5 s for the shim's Delete, as long for its Shutdown, and the shim as long for its last events.
 */
export async function settle(scope: Scope, expected: State, timeoutMs = relax(30_000)): Promise<State> {
  const wanted = JSON.stringify(expected);
  const deadline = Date.now() + timeoutMs;
  for (let equal = 0; ; await sleep(200)) {
    const state = await observe(scope);
    equal = JSON.stringify(state) === wanted ? equal + 1 : 0;
    if (equal === 2 || Date.now() > deadline) return state;
  }
}
