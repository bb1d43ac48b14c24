import { setTimeout as sleep } from 'node:timers/promises';
import { hasCode } from '../core/error.js';
import type { Session } from '../session/session.js';

/** For how long another's creation of the same name is waited for, in ms: its image may have to be unpacked. */
const WAIT_MS = 60_000;
const PAUSE_MS = 50;

/** Of several callers at once, in any processes, one creates and all get the same session. */
export async function getOrCreate(ways: {
  connect: () => Promise<Session>;
  create: () => Promise<Session>;
}): Promise<Session> {
  for (const until = Date.now() + WAIT_MS; ; await sleep(PAUSE_MS)) {
    try {
      return await ways.connect();
    } catch (error) {
      if (!hasCode(error, 'not-found')) throw error;
    }
    try {
      return await ways.create();
    } catch (error) {
      // Someone else is creating it: it can be connected to as soon as it has a record.
      if (!hasCode(error, 'already-exists') || Date.now() >= until) throw error;
    }
  }
}
