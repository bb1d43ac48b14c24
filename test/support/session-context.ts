import { describeOwner } from '../../src/core/owner.js';
import type { Channel } from '../../src/rpc/channel.js';
import { Auditor } from '../../src/session/audit/auditor.js';
import { nameFifoStore, openStarts, type SessionContext } from '../../src/session/context.js';
import { Enforcers } from '../../src/session/enforcers.js';
import { UserFilesCache } from '../../src/session/user-files.js';
import { FifoStore } from '../../src/stdio/fifo-store.js';

/** What a provider would give its sessions, for a test that calls below the provider. It has nothing to fork with. */
export function makeSessionContext(channel: Channel, directory: string, volumes: string): SessionContext {
  const owner = describeOwner();
  const audit = new Auditor();
  return {
    channel,
    snapshotter: 'overlayfs',
    directory,
    volumes,
    allowHostPaths: [],
    owner,
    audit,
    enforcers: new Enforcers({ channel, directory, audit }),
    fifos: new FifoStore(nameFifoStore(directory, owner)),
    starts: openStarts(),
    userFiles: new UserFilesCache(),
    sessions: new Set(),
    unfinished: new Map(),
    createTimeoutMs: 60_000,
    chooseRuntime: () => {
      throw new Error('this context chooses no runtime');
    },
    plan: () => {
      throw new Error('this context plans nothing');
    },
  };
}
