// What `npm run soak:exec` runs: execs, one after the other in one session, on a daemon of its own.
//
//   npm run soak:exec -- [COUNT] [GENERATION...]
//
// Every byte, code and descriptor is checked; ends with 1 when one is wrong.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ContainerdProvider } from '../src/index.js';
import { findShim } from '../test/session/shim.js';
import { BUSYBOX_REFERENCE, buildDockerArchive } from '../test/support/busybox.js';
import { GENERATIONS, type Generation } from '../test/support/containerd-binary.js';
import { nameNamespace, startDaemon } from '../test/support/daemon.js';
import { countDescriptors } from '../test/support/leaks.js';

/** Both may hold a call that is under way. */
const SHIM_DRIFT = 2;

async function soak(generation: Generation, count: number): Promise<boolean> {
  const daemon = await startDaemon({ generation });
  try {
    const archive = join(daemon.root, 'docker.tar');
    writeFileSync(archive, buildDockerArchive());
    const options = { image: BUSYBOX_REFERENCE, address: daemon.address, namespace: nameNamespace() };
    await using provider = new ContainerdProvider({ ...options, stateRoot: join(daemon.root, 'sessions') });
    await provider.importImage(archive);
    await using session = await provider.createSession({ networkMode: 'none' });
    const shim = findShim(session.sessionId);
    const run = (i: number) => {
      const args = ['-c', 'cat; echo err$1 >&2; exit $2', 'sh', String(i), String(i % 256)];
      return session.exec('sh', args, { input: `in${i}` });
    };
    await run(0);
    await settle();
    const before = { ours: await countDescriptors(), shim: await countDescriptors(shim) };
    const started = Date.now();
    let wrong = 0;
    for (let i = 1; i <= count; i++) {
      const { stdout, stderr, exitCode } = await run(i);
      if (stdout === `in${i}` && stderr === `err${i}\n` && exitCode === i % 256) continue;
      wrong++;
      console.error(`exec ${i}: ${JSON.stringify({ stdout, stderr, exitCode })}`);
    }
    const perExec = ((Date.now() - started) / count).toFixed(1);
    await settle();
    const ours = (await countDescriptors()) - before.ours;
    const theirs = (await countDescriptors(shim)) - before.shim;
    console.log(
      `containerd ${generation}: ${count} execs, ${wrong} wrong, ${perExec} ms each, descriptors: ours ${ours}, shim ${theirs}`,
    );
    return wrong === 0 && ours <= 0 && theirs <= SHIM_DRIFT;
  } finally {
    await daemon.stop();
  }
}

/** An exec is freed after its result was given. */
function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1_000));
}

const [count = '10000', ...names] = process.argv.slice(2);
const unknown = names.filter((name) => !GENERATIONS.some((generation) => generation === name));
if (!(Number(count) > 0) || unknown.length > 0) throw new Error('usage: soak:exec [COUNT] [GENERATION...]');
for (const generation of GENERATIONS.filter((name) => names.length === 0 || names.includes(name))) {
  if (!(await soak(generation, Number(count)))) process.exitCode = 1;
}
