import { join } from 'node:path';
import { CapabilityMismatchError, DriverError } from '../core/error.js';
import { detach, readAttachments } from '../network/attachment.js';
import { writeNames } from '../network/names.js';
import { adoptNamespace, createNamespace, isNamespace, nameNamespace } from '../network/namespace.js';
import { DEFAULT_NETWORK, inspectNetwork } from '../network/networks.js';
import { listAddresses, listOpenPorts, plug, unplugAll } from '../network/plug.js';
import { findMissing } from '../network/plugins.js';
import type { OpenPort } from '../network/ports.js';
import { explainNoRedirect } from '../network/prerequisites.js';
import { findGate, GATE_ADDRESS, raiseWall, SESSION_ADDRESS } from '../network/wall.js';
import { NO_ALLOWLIST } from '../policy/capabilities.js';
import { HOST_NETWORK } from '../policy/ports.js';
import { classifyRuntime } from '../policy/runtimes.js';
import type { ResolvedPolicy } from '../policy/types.js';
import { needsNetworkPath } from '../spec/runtime.js';
import type { SessionContext } from './context.js';
import { makeDirectory, removeDirectory } from './directory.js';
import { findRecord } from './find.js';
import type { ForwardTarget } from './forward.js';
import { releaseSources } from './held.js';
import type { SessionRecord } from './record.js';

/** What of the host's network a session is given. */
export type NetworkKind = 'none' | 'host' | 'plugged' | 'gated';

export function classifyNetwork({ networkMode, asked }: ResolvedPolicy): NetworkKind {
  if (networkMode === 'none') return 'none';
  if (networkMode === 'allowlist') return 'gated';
  return asked.network?.name === HOST_NETWORK ? 'host' : 'plugged';
}

/**
 * What the document says of the network namespace. Kata puts a session's processes into none of the host's, and has to be
 * told of one that it may use. In a user namespace it has to be one of the session's own making:
 * the kernel shows /sys to the owner of both alone (user_namespaces(7), "Interaction with other types of namespaces").
 */
export function nameNetns(
  { directory }: Pick<SessionContext, 'directory'>,
  { id, runtime, policy }: { id: string; runtime: string; policy: ResolvedPolicy },
): string | undefined {
  const kind = classifyNetwork(policy);
  if (kind === 'host') return HOST_NETWORK;
  const isGiven = kind === 'none' ? needsNetworkPath(runtime) : policy.userns === undefined;
  return isGiven ? nameNamespace(join(directory, id)) : undefined;
}

/** That there is the network, with the plugins that it needs; looked at before anything is created. */
export async function checkNetwork({ directory }: SessionContext, policy: ResolvedPolicy): Promise<void> {
  const { name = DEFAULT_NETWORK } = policy.asked.network ?? {};
  if (classifyNetwork(policy) === 'gated' && (await explainNoRedirect()) !== undefined) {
    throw new CapabilityMismatchError('containerd', [
      { path: 'networkMode', value: 'allowlist', expected: NO_ALLOWLIST },
    ]);
  }
  if (classifyNetwork(policy) !== 'plugged' || name === DEFAULT_NETWORK) return;
  const { plugins } = await inspectNetwork(directory, name);
  const missing = findMissing(plugins);
  if (missing.length === 0) return;
  const expected = `a network whose plugins are on this host, which lacks ${missing.join(', ')}`;
  throw new CapabilityMismatchError('containerd', [{ path: 'network.name', value: name, expected }]);
}

/** What has to be there before the task is created. The directory's removal gives it back. */
export async function prepareNetwork(context: SessionContext, record: SessionRecord): Promise<void> {
  const { id, name: hostname = id, runtime, asked } = record;
  const { policy } = asked;
  const directory = join(context.directory, id);
  const dns = policy.asked.network?.dns;
  await makeDirectory(directory);
  const kind = classifyNetwork(policy);
  if (kind === 'gated') await writeNames(directory, { hostname, addresses: [SESSION_ADDRESS], dns: [GATE_ADDRESS] });
  else if (kind !== 'none') await writeNames(directory, { hostname, addresses: [], dns });
  const netns = nameNetns(context, { id, runtime, policy });
  if (netns !== undefined && netns !== HOST_NETWORK) await createNamespace(directory);
}

/**
 * Plugs the session in, or raises its wall; its processes must not run yet. `pid` is the init's, whose namespace one with
 * `userns` has.
 */
export async function connectNetwork(
  context: SessionContext,
  { id, name: hostname = id, asked }: SessionRecord,
  pid?: number,
): Promise<void> {
  const { policy } = asked;
  const kind = classifyNetwork(policy);
  if (kind !== 'plugged' && kind !== 'gated') return;
  const directory = join(context.directory, id);
  if (policy.userns !== undefined && pid !== undefined) await adoptNamespace(directory, pid);
  if (kind === 'gated') {
    await raiseWall(directory);
    return;
  }
  const { name: network = DEFAULT_NETWORK, dns, ...rules } = policy.asked.network ?? {};
  const addresses = await plug({ root: context.directory, directory, id, network, rules });
  await writeNames(directory, { hostname, addresses, dns });
}

/** Enforces the allowlist of a session that has one; it needs the record, and its wall. */
export async function enforceNetwork({ enforcers }: SessionContext, { id, asked }: SessionRecord): Promise<void> {
  if (classifyNetwork(asked.policy) === 'gated') await enforcers.open(id);
}

/**
 * What has to be there before the task of a stopped session is created again. False when it is to be plugged in anew: a
 * host that was restarted has nothing of it, and in a user namespace the network's is a new one each time.
 */
export async function renewNetwork(context: SessionContext, record: SessionRecord): Promise<boolean> {
  const { policy } = record.asked;
  const directory = join(context.directory, record.id);
  const kind = classifyNetwork(policy);
  const isThere =
    kind === 'gated' ? findGate(directory).then((gate) => gate !== undefined) : isNamespace(nameNamespace(directory));
  if (policy.userns === undefined && (await isThere)) return true;
  if (kind === 'gated') await context.enforcers.close(record.id);
  if (kind === 'plugged' || kind === 'gated') await unplugAll(directory);
  await prepareNetwork(context, record);
  return false;
}

/** All that a session has on the host beside its root file system, its networks included. */
export async function removeSessionFiles(context: SessionContext, id: string): Promise<void> {
  const directory = join(context.directory, id);
  await context.enforcers.close(id);
  await unplugAll(directory);
  await releaseSources(context, id);
  await removeDirectory(directory);
}

/** Ports of the host that lead to the session, by the rules of its networks. */
export async function listPublished(context: SessionContext, id: string): Promise<OpenPort[]> {
  return (await readAttachments(join(context.directory, id))).flatMap(listOpenPorts);
}

/** Where a port inside is reached from. Of a virtual machine the host's namespace holds but the way to it. */
export async function findForwardTarget(
  context: SessionContext,
  { id, runtime, asked }: SessionRecord,
  pid: number,
): Promise<ForwardTarget> {
  const directory = join(context.directory, id);
  if (classifyRuntime(runtime) !== 'kata') return { netns: `/proc/${pid}/ns/net` };
  const [attachment] = await readAttachments(directory);
  const [address] = listAddresses(attachment?.result ?? {});
  if (address !== undefined) return { address };
  const message = `session ${id} has no address on this host: its networkMode is ${asked.policy.networkMode}`;
  throw new DriverError('failed-precondition', message, { operation: 'forward' });
}

/** One more interface, in the network of that name; resolves with its addresses. */
export async function connectSessionNetwork(
  context: SessionContext,
  idOrName: string,
  name: string,
): Promise<string[]> {
  const { id, asked, policyHash } = (await findRecord(context.channel, idOrName)).record;
  const entry = { action: 'connect' as const, sessionId: id, policyHash, network: name };
  return context.audit.run(entry, () => connectOne(context, { id, asked }, name));
}

async function connectOne(
  context: SessionContext,
  { id, asked }: Pick<SessionRecord, 'id' | 'asked'>,
  name: string,
): Promise<string[]> {
  const directory = join(context.directory, id);
  if (classifyNetwork(asked.policy) !== 'plugged') {
    const message = `session ${id} has no network that others could be connected to`;
    throw new DriverError('failed-precondition', message, { operation: 'connect network' });
  }
  if ((await readAttachments(directory)).some(({ network }) => network.name === name)) {
    throw new DriverError('already-exists', `session ${id} is in network ${name} already`, {
      operation: 'connect network',
    });
  }
  return plug({ root: context.directory, directory, id, network: name, rules: {} });
}

/** Takes that interface away again. */
export async function disconnectSessionNetwork(context: SessionContext, idOrName: string, name: string): Promise<void> {
  const { id, policyHash } = (await findRecord(context.channel, idOrName)).record;
  const directory = join(context.directory, id);
  await context.audit.run({ action: 'disconnect', sessionId: id, policyHash, network: name }, async () => {
    const attachment = (await readAttachments(directory)).find(({ network }) => network.name === name);
    if (attachment === undefined) {
      throw new DriverError('not-found', `session ${id} is not in network ${name}`, {
        operation: 'disconnect network',
      });
    }
    await detach(directory, attachment);
  });
}
