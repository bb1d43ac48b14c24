// Many small builds, each in a session of its own that was made ahead: what one build leaves no other one sees, but for
// the cache, a volume that all of them may write. Use no such volume for jobs that do not trust each other.
import { ContainerdProvider } from '@cadre-dev/runtime-provider-containerd';

const JOBS = 6;

const provider = new ContainerdProvider({ image: process.env.IMAGE ?? 'busybox:1.36' });

const build = `
  test -e /tmp/source && echo "used before"
  echo "source $JOB" > /tmp/source
  echo "$JOB" >> /cache/jobs
  { cat /tmp/source; echo built; } | tr '\\n' ' '`;

const pool = provider.pool({
  policy: {
    networkMode: 'none',
    mounts: [{ type: 'volume', path: 'pooled-build', target: '/cache', readOnly: false }],
    resources: { memoryMb: 256, timeoutMs: 30_000 },
  },
  min: 2,
  max: 4,
});

async function run(script: string, env: Record<string, string> = {}): Promise<string> {
  const session = await pool.take({ env });
  try {
    const { exitCode, stdout, stderr } = await session.exec('sh', ['-ec', script]);
    return `${exitCode} ${stdout.trim()} ${stderr}`;
  } finally {
    await session.destroy();
  }
}

try {
  const results = await Promise.all(Array.from({ length: JOBS }, (_, job) => run(build, { JOB: String(job) })));
  for (const result of results) console.log(result);
  console.log(await run('wc -l /cache/jobs'));
} finally {
  await pool.close();
  await provider.stopAll();
  await provider.volumes.remove('pooled-build');
  await provider.close();
}
