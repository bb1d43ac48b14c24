import type { SessionInfo } from '../session/info.js';
import { openProvider } from './connection.js';
import { listOptions, paint, printList } from './output.js';
import { formatAge } from './table.js';
import { connectionOptions, defineVerb } from './verb.js';

const colours = { created: 'yellow', running: 'green', paused: 'yellow', stopped: 'gray', unknown: 'red' } as const;

export const psVerb = defineVerb({
  usage: 'cadre-containerd ps [-a] [--pooled] [-q] [--json]',
  summary: 'list sessions that run, with -a all, with --pooled those too that wait in pools',
  example: 'cadre-containerd ps -a',
  options: { ...connectionOptions, ...listOptions, all: { type: 'boolean', short: 'a' }, pooled: { type: 'boolean' } },
  takes: [],
  async run(values) {
    await using provider = await openProvider(values);
    const sessions: SessionInfo[] = [];
    const filter = values.all ? {} : { state: ['created', 'running', 'paused'] satisfies SessionInfo['state'][] };
    for await (const info of provider.list({ ...filter, pooled: values.pooled ?? false })) sessions.push(info);
    sessions.sort((a, b) => b.createdAt.getTime() - a.createdAt.getTime());
    const header = ['SESSION', 'NAME', 'STATE', 'CREATED', 'ENDS IN', 'RUNTIME', 'IMAGE'];
    printList(values, sessions, { name: ({ sessionId }) => sessionId, header, describe });
    return 0;
  },
});

function describe({
  sessionId,
  name,
  pool,
  state,
  exitCode,
  createdAt,
  expiresAt,
  runtime,
  image,
}: SessionInfo): string[] {
  const now = Date.now();
  const ended = exitCode === undefined ? '' : ` (${exitCode})`;
  const left = expiresAt === undefined ? '-' : formatAge(Math.max(0, expiresAt.getTime() - now));
  const age = `${formatAge(now - createdAt.getTime())} ago`;
  const shown = pool === undefined ? state + ended : `pooled (${pool})`;
  return [sessionId, name ?? '-', paint(colours[state], shown), age, left, runtime, image];
}
