import { readdirSync } from 'node:fs';

// Two cores: more at once only queue.
const HOLD_WIDTH = 4;

/** One whole session with its parts, in ms. */
export async function measureCold(driver) {
  const start = performance.now();
  const session = await driver.create();
  const created = performance.now();
  await runTrue(session);
  const done = performance.now();
  await session.destroy();
  const end = performance.now();
  return { create: created - start, exec: done - created, destroy: end - done, total: end - start };
}

/** Execs back to back: `ms` until the result is in hand, `period` until the next one can begin. */
export async function measureWarm(session, count) {
  const ms = [];
  for (let left = count; left > 0; left--) {
    const start = performance.now();
    await runTrue(session);
    ms.push(performance.now() - start);
  }
  return { ms, period: ms };
}

/** Execs in one session for `ms`, `width` at a time; those that have begun by then are waited for. */
export async function measureExecs(session, width, ms) {
  const start = performance.now();
  let count = 0;
  const work = async () => {
    for (; performance.now() - start < ms; count++) await runTrue(session);
  };
  await Promise.all(Array.from({ length: width }, work));
  return { count, ms: performance.now() - start };
}

/** `count` whole sessions, `width` at a time. */
export async function measureRate(driver, width, count) {
  const start = performance.now();
  await runAll(count, width, () => measureCold(driver));
  return { ms: performance.now() - start };
}

/** Brings the number of live sessions to `count` and tells what this process costs then. */
export async function holdSessions(state, count) {
  const ending = state.held.splice(count);
  await runAll(ending.length, HOLD_WIDTH, (index) => ending[index].destroy());
  await runAll(count - state.held.length, HOLD_WIDTH, async () => {
    const session = await state.driver.create();
    state.held.push(session);
  });
  // What a session costs, not what the collector has not got round to.
  for (let round = 0; round < 3; round++) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const { rss, heapUsed, external } = process.memoryUsage();
  // Without the one that reads the directory.
  const fds = readdirSync('/proc/self/fd').length - 1;
  return { alive: state.held.length, rss, heap: heapUsed + external, fds };
}

/** Ends what still lives. */
export async function closeSessions(state) {
  const all = [...state.held, ...(state.live ? [state.live] : [])];
  await Promise.allSettled(all.map((session) => session.destroy()));
}

async function runTrue(session) {
  const { exitCode, stdout, stderr } = await session.exec(['true']);
  if (exitCode !== 0 || stdout + stderr !== '') throw new Error(`true: ${exitCode} ${stdout} ${stderr}`);
}

async function runAll(count, width, run) {
  let next = 0;
  const work = async () => {
    while (next < count) await run(next++);
  };
  await Promise.all(Array.from({ length: width }, work));
}
