// The line protocol of the peers that run on Node, see docs/benchmarks.md. The Go program in go/ speaks the same.
import { createInterface } from 'node:readline';
import { closeSessions, holdSessions, measureCold, measureExecs, measureRate, measureWarm } from './measure.mjs';
import { measureStreamIn, measureStreamOut } from './stream.mjs';

/**
 * @typedef {object} ExecStreams
 * @property {AsyncIterable<Uint8Array> | undefined} [input] what the command reads, to its end
 * @property {((bytes: number) => void) | undefined} [onStdout] gets counts instead of a captured text
 * @property {boolean | undefined} [asReadable] `onStdout` counts what a Readable gives, for a driver that has one beside its listener
 */

/**
 * @typedef {object} PeerSession
 * @property {string} id
 * @property {(args: string[], streams?: ExecStreams) => Promise<{ exitCode: number, stdout: string, stderr: string }>} exec
 * @property {() => Promise<unknown>} destroy
 */

/** @typedef {{ create: () => Promise<PeerSession> }} Driver */

/**
 * Answers one line with one line until the input ends, and then ends every session.
 * @param {Driver} driver
 */
export async function serve(driver) {
  const state = { driver, live: /** @type {PeerSession | undefined} */ (undefined), held: [] };
  const verbs = {
    open: async () => {
      state.live = await driver.create();
      return { id: state.live.id };
    },
    close: async () => {
      await state.live?.destroy();
      state.live = undefined;
      return {};
    },
    cold: () => measureCold(driver),
    warm: (count) => measureWarm(state.live, count),
    execs: (width, ms) => measureExecs(state.live, width, ms),
    streamOut: (size) => measureStreamOut(state.live, size),
    streamRead: (size) => measureStreamOut(state.live, size, { asReadable: true }),
    streamIn: (size) => measureStreamIn(state.live, size),
    rate: (width, count) => measureRate(driver, width, count),
    hold: (count) => holdSessions(state, count),
  };
  print({ ready: true });
  for await (const line of createInterface({ input: process.stdin })) {
    const [verb = '', ...numbers] = line.split(' ');
    try {
      print(await verbs[verb](...numbers.map(Number)));
    } catch (error) {
      print({ error: describeError(error) });
    }
  }
  await closeSessions(state);
}

function print(answer) {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

function describeError(error) {
  const cause = error?.cause?.message;
  return cause && !error.message.includes(cause) ? `${error.message}: ${cause}` : String(error?.message ?? error);
}
