import type { Fault } from '../core/error.js';
import type { ResolvedPolicy } from '../policy/types.js';
import type { ExecutorChoice, ExecutorName } from '../session/record.js';
import { findSupervisor } from '../session/supervisor/door.js';
import { buildCapabilities } from '../spec/capabilities.js';
import type { HostFacts } from '../spec/host.js';
import { requireInit } from '../spec/init.js';
import { hidesProcesses } from '../spec/runtime.js';

/**
 * What starts the commands of a session. `auto` is the supervisor wherever it can be had and nothing inside can look
 * into it, which takes CAP_SYS_PTRACE (ptrace(2), "Ptrace access mode checking"); elsewhere it is containerd.
 */
export function chooseExecutor(
  asked: ExecutorChoice,
  { runtime, policy }: { runtime: string; policy: Pick<ResolvedPolicy, 'capabilities'> },
): ExecutorName {
  if (asked !== 'auto') return asked;
  const isSeen = buildCapabilities(policy.capabilities).bounding.includes('CAP_SYS_PTRACE');
  return checkSupervisor(runtime).length === 0 && !isSeen ? 'supervisor' : 'task';
}

/** The same, with the program that is to be the session's init. Throws `failed-precondition` where there is none. */
export function chooseInit(
  asked: ExecutorChoice,
  { host, ...place }: { runtime: string; policy: Pick<ResolvedPolicy, 'capabilities'>; host: HostFacts },
): { executor: ExecutorName; initPath: string } {
  const executor = chooseExecutor(asked, place);
  return { executor, initPath: requireInit(executor === 'supervisor' ? findSupervisor() : host.initPath) };
}

/** Why a session on a runtime cannot have a supervisor. */
export function checkSupervisor(runtime: string): Fault[] {
  const refuse = (expected: string) => [{ path: 'executor', value: 'supervisor', expected }];
  if (findSupervisor() === undefined)
    return refuse(`task, as this package has no supervisor for ${process.platform}-${process.arch}`);
  // Its socket is a file of the host's, behind which a guest finds nobody.
  return hidesProcesses({ runtime })
    ? refuse(`task, as no socket of this host leads into a session on ${runtime}`)
    : [];
}
