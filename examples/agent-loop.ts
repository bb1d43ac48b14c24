// An agent's loop: a model proposes a command, a session runs it, the model sees what came of it, until it is done.
// The model here is a list, so that this runs without one; put yours in its place.
import { CapabilityMismatchError, ContainerdProvider, type ExecResult } from '@cadre-dev/runtime-provider-containerd';

type Step = { command: string } | { done: string };

const script = [
  'echo "print(6 * 7)" > answer.py; cat answer.py',
  'python3 answer.py', // the image has no Python: the model is told so
  'echo $((6 * 7))',
  'sleep 60', // a mistake of the model's: the deadline ends it
];

async function askModel(history: readonly string[]): Promise<Step> {
  const command = script[history.length];
  return command === undefined ? { done: `${history.length} commands` } : { command };
}

/** What the model is told: short, and never a way to flood it. */
function describe({ exitCode, stdout, stderr, timedOut, truncated }: ExecResult): string {
  const lost = truncated.stdout + truncated.stderr;
  const note = timedOut ? ' (timed out)' : '';
  const more = lost > 0 ? `[${lost} bytes more]` : '';
  return [`exit ${exitCode}${note}`, stdout.trim(), stderr.trim(), more].filter((part) => part !== '').join(' | ');
}

const provider = new ContainerdProvider({ image: process.env.IMAGE ?? 'busybox:1.36', profile: 'strict' });
try {
  const session = await provider.createSession({
    mounts: [{ type: 'tmpfs', path: '/work', readOnly: false, sizeBytes: 16 * 1024 * 1024 }],
    resources: { memoryMb: 256, pidsLimit: 64, timeoutMs: 2_000 },
    metadata: { agent: 'example' },
  });
  const history: string[] = [];
  for (;;) {
    const step = await askModel(history);
    if ('done' in step) {
      console.log(`done: ${step.done}`);
      break;
    }
    const result = await session.exec('sh', ['-c', step.command], { cwd: '/work', maxBuffer: 4_096 });
    history.push(describe(result));
    console.log(`$ ${step.command}\n  ${history.at(-1)}`);
  }
} catch (error) {
  // The policy asks for what this host cannot enforce: better no session than one without it.
  if (error instanceof CapabilityMismatchError) console.error(`refused: ${error.mismatchedAttributes.join(', ')}`);
  throw error;
} finally {
  await provider[Symbol.asyncDispose](); // its sessions go with it
}
