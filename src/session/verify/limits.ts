import type { OciSpec } from '../../spec/types.js';
import { readOptional } from '../proc.js';
import { type Check, check } from './check.js';

/** Lines of /proc/PID/limits by their name in getrlimit(2). */
const lines: Record<string, string> = {
  RLIMIT_AS: 'Max address space',
  RLIMIT_CORE: 'Max core file size',
  RLIMIT_CPU: 'Max cpu time',
  RLIMIT_DATA: 'Max data size',
  RLIMIT_FSIZE: 'Max file size',
  RLIMIT_LOCKS: 'Max file locks',
  RLIMIT_MEMLOCK: 'Max locked memory',
  RLIMIT_MSGQUEUE: 'Max msgqueue size',
  RLIMIT_NICE: 'Max nice priority',
  RLIMIT_NOFILE: 'Max open files',
  RLIMIT_NPROC: 'Max processes',
  RLIMIT_RSS: 'Max resident set',
  RLIMIT_RTPRIO: 'Max realtime priority',
  RLIMIT_RTTIME: 'Max realtime timeout',
  RLIMIT_SIGPENDING: 'Max pending signals',
  RLIMIT_STACK: 'Max stack size',
};

/**
 * Limits of the process itself. Of open files only the hard one is compared: a process may set its soft limit anywhere
 * below, and runc up to 1.1 sets it unreliably.
 */
export function checkLimits({ process }: OciSpec, pid: number): Check[] {
  const path = `/proc/${pid}/limits`;
  const text = readOptional(path) ?? '';
  const limits = process.rlimits.map(({ type, soft, hard }) => {
    const line = lines[type] ?? type;
    const [, softText, hardText] = new RegExp(`^${line} +(\\S+) +(\\S+)`, 'm').exec(text) ?? [];
    const observed = { soft: readLimit(softText), hard: readLimit(hardText) };
    const isOpenFiles = type === 'RLIMIT_NOFILE';
    return check(
      `process.rlimits.${type}`,
      isOpenFiles ? { hard } : { soft, hard },
      hardText === undefined ? undefined : isOpenFiles ? { hard: observed.hard } : observed,
      `${path} ${line}`,
    );
  });
  const score = `/proc/${pid}/oom_score_adj`;
  const observed = readOptional(score);
  return [...limits, check('process.oomScoreAdj', process.oomScoreAdj, observed && Number(observed), score)];
}

function readLimit(text = ''): number | string {
  return /^\d+$/.test(text) ? Number(text) : text;
}
