import type { PullProgress } from '../image/pull-options.js';
import type { PushProgress } from '../image/push.js';
import { drawBar } from './output.js';

const MIB = 1024 ** 2;

/** One line of standard error that is drawn over, on a terminal only. */
export function openLine() {
  const { stderr } = process;
  const write = (text: string) => {
    if (stderr.isTTY) stderr.write(`\r\x1b[K${text}`);
  };
  return {
    show({ stage, completed, total }: PullProgress | PushProgress): void {
      const isBytes = stage === 'download' || stage === 'upload';
      const [done, all] = [completed, total].map((count) => (isBytes ? (count / MIB).toFixed(1) : String(count)));
      const bar = drawBar(total === 0 ? 1 : completed / total, stderr);
      write(`${stage} ${bar} ${done}/${all}${isBytes ? ' MiB' : ''}`);
    },
    clear: () => write(''),
    [Symbol.dispose]: () => write(''),
  };
}
