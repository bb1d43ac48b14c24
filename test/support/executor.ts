import { chooseExecutor } from '../../src/provider/executor-choice.js';
import type { ExecutorName } from '../../src/session/record.js';
import { context } from './context.js';

/** The same tests hold for both executors: for the default, and with CADRE_TEST_EXECUTOR=task for the other. */
export const ASKED_EXECUTOR: 'auto' | 'task' = process.env.CADRE_TEST_EXECUTOR === 'task' ? 'task' : 'auto';

/** What sessions have that ask for nothing in their policy. */
export const EXECUTOR: ExecutorName = chooseExecutor(ASKED_EXECUTOR, {
  runtime: context.runtime,
  policy: { capabilities: { add: [], drop: [] } },
});
