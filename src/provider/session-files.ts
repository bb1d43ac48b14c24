import { createInputError, type Fault } from '../core/error.js';
import { isWithin, SECRETS_PATH } from '../policy/mounts.js';
import type { ResolvedPolicy } from '../policy/types.js';
import type { CreateRequest } from '../session/create.js';

/** Where the worktree is seen inside; commands begin there. */
export const WORKSPACE = '/workspace';

/** What of the host's files a session sees, and what it is given as files. */
export type SessionFiles = Pick<CreateRequest, 'binds' | 'volumes' | 'secrets'>;

/** Throws `invalid-argument` for a mount that would hide the worktree or the secrets. */
export function listSessionFiles({ mounts, secrets }: ResolvedPolicy, worktreePath: string | undefined): SessionFiles {
  const binds: SessionFiles['binds'] = [];
  const volumes: SessionFiles['volumes'] = [];
  const faults: Fault[] = [];
  const files = secrets.filter(({ as = 'file' }) => as === 'file');
  if (worktreePath !== undefined) {
    binds.push({ field: 'worktreePath', path: worktreePath, target: WORKSPACE, readOnly: false });
  }
  for (const [index, { type = 'bind', path, target = path, readOnly }] of mounts.entries()) {
    const field = `mounts[${index}]`;
    if (worktreePath !== undefined && target === WORKSPACE) {
      faults.push({ path: `${field}.target`, value: target, expected: 'another place, as the worktree is there' });
    }
    if (files.length > 0 && isWithin(target, SECRETS_PATH)) {
      faults.push({ path: `${field}.target`, value: target, expected: `a place outside ${SECRETS_PATH}` });
    }
    if (type === 'bind') binds.push({ field: `${field}.path`, path, target, readOnly });
    if (type === 'volume') volumes.push({ name: path, target, readOnly });
  }
  if (faults.length > 0) throw createInputError('policy', faults);
  return { binds, volumes, secrets: files };
}
