import type { ExecutorName } from '../../src/session/record.js';

/** The same tests hold for both executors. */
export const EXECUTOR: ExecutorName = process.env.CADRE_TEST_EXECUTOR === 'supervisor' ? 'supervisor' : 'task';
