/** How a pool is and what became of its members, since it was opened. */
export interface PoolStats {
  /** Ready to be taken. */
  idle: number;
  /** Being made now. */
  making: number;
  /** Calls of `take` that wait now. */
  waiting: number;
  /** Takes that had a session at once. */
  hits: number;
  /** Takes that had to wait until one was made. */
  misses: number;
  /** Sessions that were made. */
  made: number;
  /** Attempts to make one that failed. */
  failed: number;
  /** Removed as they had waited for too long. */
  aged: number;
  /** Removed as they had ended before anyone took them. */
  dead: number;
  /** Taken by another process that has a pool of the same name. */
  lost: number;
  /** Taken from another process that has a pool of the same name; such a take is a hit. */
  adopted: number;
  /** Sessions that could not be removed; the reaper tries again. */
  stuck: number;
  /** How long takes waited for their session, in ms; 0 for a hit. */
  wait: { totalMs: number; maxMs: number };
  /** Of the last attempt to make or to remove one that failed. */
  lastError?: unknown;
}

export function startStats(): PoolStats {
  return {
    idle: 0,
    making: 0,
    waiting: 0,
    hits: 0,
    misses: 0,
    made: 0,
    failed: 0,
    aged: 0,
    dead: 0,
    lost: 0,
    adopted: 0,
    stuck: 0,
    wait: { totalMs: 0, maxMs: 0 },
  };
}
