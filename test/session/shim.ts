import { readdirSync, readFileSync } from 'node:fs';

/** Pid of the shim that serves a session. */
export function findShim(sessionId: string): number {
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    const words = readCommand(name);
    if (words[0]?.includes('shim') && words[words.indexOf('-id') + 1] === sessionId) return Number(name);
  }
  throw new Error(`no shim of ${sessionId}`);
}

function readCommand(pid: string): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    // It ended meanwhile.
    return [];
  }
}
