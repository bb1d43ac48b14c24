import { inject } from 'vitest';
import { chooseExecutor } from '../../src/provider/executor-choice.js';
import type { ChosenExecutor, ExecutorChoice } from '../../src/session/record.js';

/** The same tests hold for both executors: for the default, and with CADRE_TEST_EXECUTOR for the one of that name. */
const { CADRE_TEST_EXECUTOR: named } = process.env;
export const ASKED_EXECUTOR: ExecutorChoice = named === 'task' || named === 'supervisor' ? named : 'auto';

/** What sessions have that ask for nothing in their policy. Pages are compared with the tests where there is no daemon. */
export const CHOSEN: ChosenExecutor = chooseExecutor(ASKED_EXECUTOR, {
  runtime: inject('daemon')?.runtime ?? 'runc',
  policy: { capabilities: { add: [], drop: [] } },
});

export const EXECUTOR = CHOSEN.executor;

const isKata = inject('daemon')?.runtime === 'kata';
/** Whether a kill of an exec is told to have reached all: a guest's processes are seen by its supervisor alone. */
export const KILLS_VERIFIED = !isKata || EXECUTOR === 'supervisor';
/** Whether the session's own command cannot have a terminal or an input. */
export const TAKES_STREAMS = isKata && EXECUTOR === 'supervisor';
export const taken = "in a guest the supervisor speaks over the streams that the session's own command would take";
