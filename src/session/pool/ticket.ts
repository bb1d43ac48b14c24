import { existsSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

// Of all processes that would take a session out of a pool, the one that removes its ticket has it: unlink(2) succeeds
// once. containerd's Containers.Update has no condition, so that of two that write the record both would succeed.

export function leaveTicket(directory: string): void {
  writeFileSync(nameTicket(directory), '', { flag: 'wx', mode: 0o600 });
}

export function hasTicket(directory: string): boolean {
  return existsSync(nameTicket(directory));
}

/** False when someone else was faster, or the session is gone. */
export function takeTicket(directory: string): boolean {
  try {
    unlinkSync(nameTicket(directory));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

function nameTicket(directory: string): string {
  return join(directory, 'ticket');
}
