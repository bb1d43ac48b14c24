const BLOCK = 256 * 1024;

/** Reads `size` bytes from a command and throws them away; `cpuMs` is what this process used for it. */
export async function measureStreamOut(session, size, options = {}) {
  let seen = 0;
  const count = (bytes) => {
    seen += bytes;
  };
  const times = await timeStream(() =>
    session.exec(['dd', 'if=/dev/zero', 'bs=64k', `count=${size / 65536}`], { onStdout: count, ...options }),
  );
  if (seen !== size) throw new Error(`${seen} of ${size} bytes came out`);
  return times;
}

/** Writes `size` bytes into a command, which tells how many it saw. */
export async function measureStreamIn(session, size) {
  let report = '';
  const times = await timeStream(async () => {
    const result = await session.exec(['dd', 'of=/dev/null', 'bs=64k', 'iflag=fullblock'], { input: repeat(size) });
    report = result.stderr;
    return result;
  });
  // Blocks that are whole, plus one that is not: every byte is counted.
  if (!report.startsWith(`${size / 65536}+0 records in`)) throw new Error(`not ${size} bytes went in: ${report}`);
  return times;
}

async function timeStream(run) {
  const cpu = process.cpuUsage();
  const start = performance.now();
  const { exitCode, stderr } = await run();
  const ms = performance.now() - start;
  const { user, system } = process.cpuUsage(cpu);
  if (exitCode !== 0) throw new Error(`exit code ${exitCode}: ${stderr}`);
  return { ms, cpuMs: (user + system) / 1000 };
}

async function* repeat(size) {
  const block = Buffer.alloc(BLOCK);
  for (let left = size; left > 0; left -= BLOCK) yield left < BLOCK ? block.subarray(0, left) : block;
}
