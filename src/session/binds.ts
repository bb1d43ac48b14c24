import { join } from 'node:path';
import { nameFiles, nameNamesDirectory } from '../network/names.js';
import { isWithin, SECRETS_PATH } from '../policy/mounts.js';
import { type Bind, DOOR_PATH } from '../spec/mounts.js';
import type { SessionContext } from './context.js';
import type { CreateRequest } from './create.js';
import { findMount, readMountTable } from './mount-table.js';
import { classifyNetwork } from './network.js';
import { hasSecretsMount, nameSecrets } from './secrets.js';
import { hasDoor, nameDoor } from './supervisor/door.js';
import { nameData } from './volume-directory.js';

/** What this library keeps for the session: its volumes, and its secrets, which nothing may hide. */
export function listOwnBinds(
  context: Pick<SessionContext, 'directory' | 'volumes'>,
  { record, volumes, secrets }: CreateRequest,
): Bind[] {
  const hasSubmounts = false;
  const directory = join(context.directory, record.id);
  const { mounts: asked } = record.asked.policy;
  const binds: Bind[] = volumes.map(({ name, ...rest }) => ({
    ...rest,
    source: nameData(context, name),
    hasSubmounts,
  }));
  if (classifyNetwork(record.asked.policy) !== 'none') {
    const place = nameNamesDirectory(directory);
    // What a session wrote there would be the host's memory.
    const describe = (name: string) => ({
      source: join(place, name),
      target: `/etc/${name}`,
      readOnly: true,
      hasSubmounts,
    });
    const isMounted = ({ target: place }: Bind) => asked.some(({ path, target = path }) => isWithin(place, target));
    binds.push(...nameFiles.map(describe).filter((bind) => !isMounted(bind)));
  }
  if (hasSecretsMount(record, secrets)) {
    const place = { source: nameSecrets(directory), target: SECRETS_PATH, kept: ['noexec'] };
    binds.push({ ...place, readOnly: true, hasSubmounts });
  }
  if (hasDoor(record)) {
    binds.push(describeDoor(directory));
  }
  return binds;
}

/** What the supervisor makes its socket in. */
export function describeDoor(directory: string): Bind {
  return { source: nameDoor(directory), target: DOOR_PATH, readOnly: false, hasSubmounts: false, kept: ['noexec'] };
}

/** mount_namespaces(7), "Restrictions on mount namespaces": EPERM for a mount that has less of them than its source. */
export function keepRestrictions(binds: readonly Bind[], userns: object | undefined): Bind[] {
  if (userns === undefined) return [...binds];
  const own = readMountTable();
  return binds.map((bind) => {
    const found = findMount(own, bind.source)?.options ?? [];
    const kept = ['ro', 'noexec'].filter((word) => found.includes(word) || bind.kept?.includes(word));
    return { ...bind, kept };
  });
}
