import { setTimeout as sleep } from 'node:timers/promises';
import { DriverError } from '../../core/error.js';
import type { Channel } from '../../rpc/channel.js';
import { hidesProcesses } from '../../spec/runtime.js';
import type { OciSpec } from '../../spec/types.js';
import { findRecord, readSpec } from '../find.js';
import { classifyNetwork } from '../network.js';
import { readCommand, readOptional, readStat } from '../proc.js';
import { readTask } from '../task.js';
import { checkAppArmor } from './apparmor.js';
import type { Attestation, Check } from './check.js';
import { check } from './check.js';
import { checkDeviceNodes } from './device-nodes.js';
import { verifyHidden } from './hidden.js';
import { checkIdMaps } from './id-map.js';
import { checkLimits } from './limits.js';
import { checkMounts } from './mounts.js';
import { checkHostname, checkNamespaces, checkNetwork } from './namespaces.js';
import { checkPlugs } from './plugs.js';
import { checkControlGroup } from './resources.js';
import { checkStatus } from './status.js';
import { checkSysctls } from './sysctls.js';
import { checkWall } from './wall.js';

/** For how long a process that has been started may take to become what it was started as, in ms. */
const START_MS = 10_000;
const POLL_MS = 2;

/**
 * Reads back from the kernel what a session's spec says, of its init. The spec is containerd's, so that any process
 * can ask; what is observed is the kernel's alone. Of its networks their plugins tell; `directory` is the session's.
 */
export async function verifySession(channel: Channel, id: string, directory: string): Promise<Attestation> {
  const { container, record } = await findRecord(channel, id);
  const { state, pid } = await readTask(channel, id);
  if (state !== 'running' && state !== 'paused') {
    throw new DriverError('failed-precondition', `session ${id} is ${state}, and only a running one can be verified`);
  }
  const spec = readSpec(container);
  const { ok, checks } = hidesProcesses(record) ? verifyHidden(spec, pid, record) : await verifyProcess(spec, pid);
  const isGated = classifyNetwork(record.asked.policy) === 'gated';
  const plugs = await (isGated ? checkWall(directory) : checkPlugs(directory));
  return { ok: ok && plugs.every((plug) => plug.ok), checks: [...checks, ...plugs] };
}

/** The same of any process that was started from the spec: an exec has the privileges and limits of the session. */
export async function verifyProcess(spec: OciSpec, pid: number, program = spec.process.args[0]): Promise<Attestation> {
  const before = readStat(pid);
  await waitForProgram(pid, program);
  const checks = [
    // A pid that is the hypervisor's says nothing of what runs in its guest.
    check('process.args', program, readCommand(pid)[0], `/proc/${pid}/cmdline`),
    ...checkStatus(spec, pid),
    ...checkAppArmor(spec, pid),
    ...checkLimits(spec, pid),
    ...(await checkMounts(spec, pid)),
    ...checkDeviceNodes(spec, pid),
    ...checkNamespaces(spec, pid),
    ...checkIdMaps(spec, pid),
    ...checkNetwork(spec, pid),
    ...checkControlGroup(spec, pid),
    await checkHostname(spec, pid),
    ...(await checkSysctls(spec, pid)),
  ];
  // The pid of a process that has ended meanwhile may be another's by now.
  if (before === undefined || readStat(pid)?.startTime !== before.startTime) {
    throw new DriverError('failed-precondition', `process ${pid} ended while it was verified`);
  }
  return conclude(checks);
}

/** containerd reports a start a moment before the runtime's own process has become the session's. */
async function waitForProgram(pid: number, program: string | undefined): Promise<void> {
  const until = Date.now() + START_MS;
  while (isInside(pid) && readCommand(pid)[0] !== program && Date.now() < until) await sleep(POLL_MS);
}

/** Whether it has a pid namespace of its own, which a hypervisor has not (NSpid in proc_pid_status(5)). */
function isInside(pid: number): boolean {
  const level = (path: string) =>
    /^NSpid:(.*)$/m
      .exec(readOptional(path) ?? '')?.[1]
      ?.trim()
      .split(/\s+/).length ?? 0;
  return level(`/proc/${pid}/status`) > level('/proc/self/status');
}

function conclude(checks: Check[]): Attestation {
  const [first, ...rest] = checks;
  // Seen from the host, a guest is one process: none of its own can be read.
  if (first?.ok) return { ok: rest.every(({ ok }) => ok), checks };
  const source = `unreadable: ${first?.source} is not that of the session's init`;
  return { ok: false, checks: checks.map((each) => ({ ...each, observed: undefined, source, ok: false })) };
}
