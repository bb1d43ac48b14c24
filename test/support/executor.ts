import { inject } from 'vitest';
import { chooseExecutor } from '../../src/provider/executor-choice.js';
import type { ChosenExecutor } from '../../src/session/record.js';

/** The same tests hold for both executors: for the default, and with CADRE_TEST_EXECUTOR=task for the other. */
export const ASKED_EXECUTOR: 'auto' | 'task' = process.env.CADRE_TEST_EXECUTOR === 'task' ? 'task' : 'auto';

/** What sessions have that ask for nothing in their policy. Pages are compared with the tests where there is no daemon. */
export const CHOSEN: ChosenExecutor = chooseExecutor(ASKED_EXECUTOR, {
  runtime: inject('daemon')?.runtime ?? 'runc',
  policy: { capabilities: { add: [], drop: [] } },
});

export const EXECUTOR = CHOSEN.executor;
