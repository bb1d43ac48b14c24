// A program that uses the whole way once, for those who watch it from outside.
import { ContainerdProvider } from '../../src/index.js';

const { IMAGE = '', ARCHIVE = '', ADDRESS = '', NAMESPACE = '', STATE = '', EXECUTOR } = process.env;
const provider = new ContainerdProvider({
  image: IMAGE,
  address: ADDRESS,
  namespace: NAMESPACE,
  stateRoot: STATE,
  executor: EXECUTOR === 'task' ? 'task' : 'supervisor',
});
await provider.importImage(ARCHIVE);
const session = await provider.createSession({ networkMode: 'none' });
const { stdout } = await session.exec('echo', ['seen']);
if (stdout !== 'seen\n') throw new Error(`unexpected output ${stdout}`);
const timeout = await session.exec('sleep', ['100'], { timeoutMs: 100 });
if (timeout.exitCode !== 124) throw new Error(`unexpected exit code ${timeout.exitCode}`);
await provider.reap();
await session.destroy();
await provider[Symbol.asyncDispose]();
