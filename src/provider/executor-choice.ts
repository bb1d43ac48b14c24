import type { Fault } from '../core/error.js';
import { classifyRuntime } from '../policy/runtimes.js';
import type { ResolvedPolicy } from '../policy/types.js';
import type { ChosenExecutor, ExecutorChoice } from '../session/record.js';
import { findSupervisor, isOnHost } from '../session/supervisor/door.js';
import { buildCapabilities } from '../spec/capabilities.js';
import type { HostFacts } from '../spec/host.js';
import { placeSupervisor, requireInit } from '../spec/init.js';
import { hidesProcesses, nameRuntime } from '../spec/runtime.js';
import type { SessionOptions } from './create-options.js';

/** What the session's own command has beside its output. */
type MainStreams = Pick<SessionOptions, 'tty' | 'stdin'>;

interface ExecutorPlace {
  runtime: string;
  policy: Pick<ResolvedPolicy, 'capabilities'>;
}

/**
 * What starts the commands of a session. `auto` is the supervisor wherever it can be had and nothing inside can look
 * into it, which takes CAP_SYS_PTRACE (ptrace(2), "Ptrace access mode checking"); elsewhere it is containerd.
 */
export function chooseExecutor(asked: ExecutorChoice, { runtime, policy }: ExecutorPlace): ChosenExecutor {
  if (asked !== 'auto') return { executor: asked, executorReason: 'asked for by name' };
  const isSeen = buildCapabilities(policy.capabilities).bounding.includes('CAP_SYS_PTRACE');
  const isUnproven = hidesProcesses({ runtime });
  const obstacle =
    findObstacle(runtime) ??
    (isUnproven ? 'no supervisor was seen to serve in a guest of Kata yet: it can be asked for by name' : undefined) ??
    (isSeen ? 'root inside could look into a supervisor with CAP_SYS_PTRACE' : undefined);
  return obstacle === undefined
    ? { executor: 'supervisor', executorReason: 'every session has it that can' }
    : { executor: 'task', executorReason: obstacle };
}

/** The same, with the program that is to be the session's init. Throws `failed-precondition` where there is none. */
export function chooseInit(
  asked: ExecutorChoice,
  { host, ...place }: ExecutorPlace & { host: HostFacts },
): ChosenExecutor & { initPath: string } {
  const chosen = chooseExecutor(asked, place);
  return { ...chosen, initPath: requireInit(chosen.executor === 'supervisor' ? findSupervisor() : host.initPath) };
}

/** What is wrong with a supervisor that is asked for by name. */
export function checkSupervisor(runtime: string, main: MainStreams = {}): Fault[] {
  const obstacle = findObstacle(runtime, main);
  return obstacle === undefined ? [] : [{ path: 'executor', value: 'supervisor', expected: `task, as ${obstacle}` }];
}

/** Why a session on a runtime cannot have a supervisor. */
function findObstacle(runtime: string, { tty = false, stdin = false }: MainStreams = {}): string | undefined {
  const path = findSupervisor();
  if (path === undefined) return `this package has no supervisor for ${process.platform}-${process.arch}`;
  if (!isOnHost(path)) return `${path} is a file of this container and not of containerd's host`;
  if (!hidesProcesses({ runtime })) return undefined;
  const name = nameRuntime(runtime);
  if (classifyRuntime(runtime) !== 'kata') return `no socket of this host leads into a session on ${name}`;
  const taken = Object.entries({ tty, stdin }).flatMap(([key, isAsked]) => (isAsked ? [key] : []));
  return taken.length === 0
    ? undefined
    : `the supervisor speaks over the streams that ${taken.join(' and ')} would take on ${name}`;
}

/** Its program, and where it is reached. */
export function chooseSupervisor(runtime: string) {
  return { path: requireInit(findSupervisor()), place: placeSupervisor({ runtime }) };
}
