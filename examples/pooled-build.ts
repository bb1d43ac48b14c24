// Many small builds in a few sessions that are used again. What one build leaves, the next one of that session could
// see: use this for jobs that trust each other, and a session for each job where they do not.
import { ContainerdProvider, type Session } from '@cadre-dev/runtime-provider-containerd';

const SIZE = 2;
const JOBS = 6;

const provider = new ContainerdProvider({ image: process.env.IMAGE ?? 'busybox:1.36' });

/** Sessions, and who waits for one. */
class Pool {
  readonly #free: Session[] = [];
  readonly #waiting: ((session: Session) => void)[] = [];
  readonly #create: () => Promise<Session>;
  readonly #size: number;
  created = 0;

  constructor(size: number, create: () => Promise<Session>) {
    this.#size = size;
    this.#create = create;
  }

  async use<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const session = await this.#acquire();
    try {
      return await work(session);
    } finally {
      this.#release(session);
    }
  }

  async #acquire(): Promise<Session> {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.created < this.#size) {
      this.created++;
      return this.#create();
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #release(session: Session): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(session);
    else next(session);
  }
}

const build = `
  echo "source $JOB" > /tmp/source
  echo "$JOB" >> /cache/jobs              # kept between builds and sessions
  { cat /tmp/source; echo built; } | tr '\\n' ' '
  rm -rf /tmp/source`;

try {
  const mounts = [{ type: 'volume' as const, path: 'pooled-build', target: '/cache', readOnly: false }];
  const pool = new Pool(SIZE, () =>
    provider.createSession({ networkMode: 'none', mounts, resources: { memoryMb: 256, timeoutMs: 30_000 } }),
  );
  const run = (job: number) => pool.use((session) => session.exec('sh', ['-ec', build], { env: { JOB: String(job) } }));
  const results = await Promise.all(Array.from({ length: JOBS }, (_, job) => run(job)));
  for (const { exitCode, stdout, stderr } of results) console.log(exitCode, stdout.trim(), stderr);
  const { stdout } = await pool.use((session) => session.exec('wc', ['-l', '/cache/jobs']));
  console.log(`${stdout.trim()}: ${JOBS} builds in ${pool.created} sessions`);
} finally {
  await provider.stopAll();
  await provider.volumes.remove('pooled-build');
  await provider.close();
}
