// This library, imported as its users import it: from dist, by the package's own name.
import { once } from 'node:events';
import { ContainerdProvider } from '@cadre-dev/runtime-provider-containerd';
import { serve } from './serve.mjs';

const settings = JSON.parse(process.argv[2] ?? '{}');
const { address, namespace, image, scratch, policy, executor, runtimeBinary, shimGroup } = settings;
const provider = new ContainerdProvider({ image, address, namespace, stateRoot: scratch, executor, runtimeBinary });
// Whoever shares a shim finds one that somebody else has started.
if (shimGroup) await provider.createSession({ ...policy, shimGroup });

await serve({
  async create() {
    const session = await provider.createSession({ ...policy, shimGroup });
    return {
      id: session.sessionId,
      exec: ([command, ...args], streams) => runCommand(session, command, args, streams),
      destroy: () => session.destroy(),
    };
  },
});
await provider[Symbol.asyncDispose]?.();
process.exit();

async function runCommand(session, command, args, { input, onStdout, asReadable } = {}) {
  // Counted and dropped, never kept.
  const dropped = { maxBuffer: 0 };
  if (onStdout && !asReadable) {
    // The bytes that are counted are zeros, each a character.
    return session.exec(command, args, { ...dropped, onStdout: (text) => onStdout(text.length) });
  }
  if (!input && !onStdout) return session.exec(command, args);
  const execution = await session.spawn(command, args, input ? { stdin: 'pipe' } : dropped);
  if (onStdout) execution.stdout.on('data', (chunk) => onStdout(chunk.length)).resume();
  if (input) {
    const result = execution.result();
    for await (const chunk of input) {
      if (!execution.stdin.write(chunk)) await once(execution.stdin, 'drain');
    }
    execution.stdin.end();
    return result;
  }
  return execution.result();
}
