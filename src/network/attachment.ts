import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { ignoreAbsent, listNames } from '../core/absent.js';
import { addToNetwork, type CniResult, checkNetwork, type NetworkConfig, removeFromNetwork } from './chain.js';
import { nameNamespace } from './namespace.js';
import type { PortMapping } from './ports.js';

/** A session in a network, as it is kept with the session: what DEL needs, whoever calls it (CNI 1.0, "DEL"). */
export interface Attachment {
  containerId: string;
  ifname: string;
  network: NetworkConfig;
  runtimeConfig: { portMappings?: PortMapping[]; bandwidth?: Record<string, number> };
  /** Undefined while ADD is under way, and when it was interrupted. */
  result?: CniResult;
}

const pattern = /^network\.(.+)\.json$/;

/** Notes that the session is about to be in the network: from now on `detach` undoes what is there. */
export async function noteAttachment(directory: string, attachment: Attachment): Promise<void> {
  const file = join(directory, `network.${attachment.ifname}.json`);
  await writeFile(`${file}.new`, JSON.stringify(attachment), { mode: 0o600 });
  await rename(`${file}.new`, file);
}

/** Plugs the namespace of the session into the network; resolves with what became of it. */
export async function attach(directory: string, attachment: Attachment): Promise<CniResult> {
  return addToNetwork(attachment.network, describeCall(directory, attachment), (result) =>
    noteAttachment(directory, { ...attachment, result }),
  );
}

/** Takes the session out of the network; may be repeated, also when the namespace is gone. */
export async function detach(directory: string, attachment: Attachment): Promise<void> {
  await removeFromNetwork(attachment.network, describeCall(directory, attachment), attachment.result);
  await rm(join(directory, `network.${attachment.ifname}.json`), { force: true });
}

/** Rejects when the session's connection is not as it was made. */
export async function checkAttachment(directory: string, attachment: Attachment): Promise<void> {
  await checkNetwork(attachment.network, describeCall(directory, attachment), attachment.result ?? {});
}

function describeCall(directory: string, { containerId, ifname, runtimeConfig }: Attachment) {
  return { containerId, ifname, runtimeConfig, netns: nameNamespace(directory) };
}

/** Of one session, by interface. */
export async function readAttachments(directory: string): Promise<Attachment[]> {
  const names = (await listNames(directory)).filter((name) => pattern.test(name)).sort();
  const found = await Promise.all(names.map((name) => read(join(directory, name))));
  return found.flatMap((attachment) => attachment ?? []);
}

/** Of every session below the directory. */
export async function listAttachments(directory: string): Promise<Attachment[]> {
  const sessions = await listNames(directory);
  return (await Promise.all(sessions.map((name) => readAttachments(join(directory, basename(name)))))).flat();
}

async function read(file: string): Promise<Attachment | undefined> {
  const text = await readFile(file, 'utf8').catch(ignoreAbsent);
  return text === undefined ? undefined : (JSON.parse(text) as Attachment);
}
