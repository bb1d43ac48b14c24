/** A process that uses sessions as it is told, a JSON command a line, and is there to be killed: see worker.ts. */
import { createInterface } from 'node:readline';
import { ContainerdProvider } from '../../../src/index.js';
import type { CreateOptions } from '../../../src/provider/create-options.js';
import type { ProviderOptions } from '../../../src/provider/options.js';
import type { SessionPool } from '../../../src/provider/pool.js';
import type { PoolOptions, TakeOptions } from '../../../src/provider/pool-options.js';
import { Channel } from '../../../src/rpc/channel.js';
import type { Session } from '../../../src/session/session.js';

/** What a worker can be told to do, with what it takes and what it answers. */
export interface Verbs {
  create(options: CreateOptions): Promise<string>;
  getOrCreate(name: string): Promise<string>;
  connect(idOrName: string): Promise<string>;
  /** Answers when the command has ended. */
  exec(id: string, script: string): Promise<{ stdout: string; exitCode: number }>;
  /** Answers when the command runs; nobody reads its output. */
  spawn(id: string, script: string): Promise<void>;
  /** To the image `new`. */
  commit(id: string): Promise<void>;
  /** Answers with the fork's id. */
  fork(id: string): Promise<string>;
  /**
   * Starts a stopped session again on another runtime, and answers with the calls that took, such as `Tasks/Create 1` for the
   * first of them. Comes to its end before the one that is named.
   */
  move(id: string, runtime: string, dieAt?: string): Promise<string[]>;
  destroy(id: string): Promise<void>;
  /** Answers when the pool is full. */
  pool(options: PoolOptions): Promise<void>;
  /** Of the pool; answers with the session's id. */
  take(options: TakeOptions): Promise<string>;
  reap(): Promise<string[]>;
  /** Answers when the image is there. */
  pull(reference: string): Promise<string>;
  /** Answers when a loop of create, exec and destroy is under way for each name, or for none; they never end. */
  churn(names: (string | null)[]): Promise<void>;
}

const [, , options = '{}', detector = '{}'] = process.argv;
const provider = new ContainerdProvider(JSON.parse(options) as ProviderOptions, JSON.parse(detector));
let pool: SessionPool | undefined;
const sessions = new Map<string, Session>();

function keep(session: Session): string {
  sessions.set(session.sessionId, session);
  return session.sessionId;
}

function find(id: string): Session {
  const session = sessions.get(id);
  if (session === undefined) throw new Error(`this worker has no session ${id}`);
  return session;
}

/** What a session has on the host beside its own. */
const held = {
  secrets: [{ name: 'key', value: 'planted' }],
  mounts: [{ type: 'volume' as const, path: 'churned', target: '/v', readOnly: false }],
};

async function loop(name: string | null): Promise<never> {
  for (;;) {
    const session = await provider.createSession({ ...held, ...(name === null ? {} : { name }) });
    await session.exec('sh', ['-c', 'echo $$; sleep 0.01; seq 2000']);
    await session.destroy();
  }
}

const verbs: Verbs = {
  create: async (options) => keep(await provider.createSession(options)),
  getOrCreate: async (name) => keep(await provider.getOrCreate(name)),
  connect: async (idOrName) => keep(await provider.connect(idOrName)),
  async exec(id, script) {
    const { stdout, exitCode } = await find(id).exec('sh', ['-c', script]);
    return { stdout, exitCode };
  },
  async spawn(id, script) {
    await find(id).spawn('sh', ['-c', script]);
  },
  async commit(id) {
    await find(id).commit({ image: 'new' });
  },
  async fork(id) {
    const [session] = await find(id).fork();
    return keep(session as Session);
  },
  async move(id, runtime, dieAt) {
    const calls: string[] = [];
    const { unary } = Channel.prototype;
    Channel.prototype.unary = function (this: Channel, ...args: Parameters<Channel['unary']>) {
      const name = args[0].path.split('.').at(-1) as string;
      calls.push(`${name} ${calls.filter((call) => call.startsWith(name)).length + 1}`);
      if (calls.at(-1) === dieAt) process.kill(process.pid, 'SIGKILL');
      return unary.apply(this, args);
    } as Channel['unary'];
    try {
      await find(id).start({ runtime });
      return calls;
    } finally {
      Channel.prototype.unary = unary;
    }
  },
  async pool(options) {
    pool = provider.pool(options);
    await pool.ready();
  },
  async take(options) {
    if (pool === undefined) throw new Error('this worker has no pool');
    return keep(await pool.take(options));
  },
  destroy: (id) => find(id).destroy(),
  reap: async () => (await provider.reap()).sessions,
  pull: async (reference) => (await provider.pull(reference)).target.digest,
  async churn(names) {
    // Connected, so that the time until the kill is the sessions'.
    await provider.list().next();
    for (const name of names) loop(name);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { call, verb, args } = JSON.parse(line) as { call: number; verb: keyof Verbs; args: never[] };
  const answer = (verbs[verb] as (...given: never[]) => Promise<unknown>)(...args);
  answer.then(
    (value) => process.stdout.write(`${JSON.stringify({ call, value })}\n`),
    (error) =>
      process.stdout.write(`${JSON.stringify({ call, error: { code: error.code, message: error.message } })}\n`),
  );
}
process.exit(0);
