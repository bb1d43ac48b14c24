/** What a `*.e2e.test.ts` file runs against. Only to be imported there: it needs the daemon of a containerd project. */
import { join } from 'node:path';
import { describe, inject } from 'vitest';
import { CALL_TIMEOUT_MS } from '../../src/rpc/channel.js';
import type { Generation } from './containerd-binary.js';
import { nameNamespace } from './daemon.js';
import type { ProvidedDaemon } from './global-setup.js';
import { relax } from './patience.js';

export interface TestContext extends ProvidedDaemon {
  /** Random, one for each test file. */
  readonly namespace: string;
  /** For the provider's option of this name; goes with the daemon. */
  readonly stateRoot: string;
  /** For the option of this name. */
  readonly callTimeoutMs: number;
  /** Sessions run behind the recording shim. */
  readonly isKata: boolean;
  /** What a session can be asked of that Kata's shims drop. */
  readonly limitPids: (pidsLimit: number) => { pidsLimit?: number };
}

/** Why a test is skipped where Kata runs the sessions, or its double. */
export const unseen = "the host does not see a guest's processes";

/** The shared daemon of this project, the images on disk and a namespace of this file's own. */
export const context: TestContext = openContext();

function openContext(): TestContext {
  const daemon = inject('daemon');
  const isKata = daemon.runtime === 'kata';
  const limitPids = (pidsLimit: number) => (isKata ? {} : { pidsLimit });
  const namespace = nameNamespace();
  const stateRoot = join(daemon.root, 'sessions');
  return { ...daemon, namespace, stateRoot, callTimeoutMs: relax(CALL_TIMEOUT_MS), isKata, limitPids };
}

/**
 * A `describe` that runs on the given generations only; elsewhere its tests are counted as skipped and listed with
 * the reason: `onlyOn(['1.6'], 'two minutes; the code path is the same')('200 sessions', () => { ... })`.
 */
export function onlyOn(generations: readonly Generation[], reason: string): SuiteCollector {
  if (generations.includes(context.generation)) return (name, body) => describe(name, body);
  const skipReason = `only on containerd ${generations.join(', ')}: ${reason}`;
  return (name, body) => describe.skip(name, { meta: { skipReason } }, body);
}

type SuiteCollector = (name: string, body: () => void) => void;
