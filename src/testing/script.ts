import { DriverError } from '../core/error.js';
import type { ExecOptions, ExecResult } from '../session/exec-options.js';

/** A command that a mock session was asked to run. */
export interface MockCall {
  /** Of the session that was asked. */
  sessionId: string;
  /** The program, as it was named. */
  command: string;
  /** Its arguments. */
  args: readonly string[];
  /** As they were given, without defaults. */
  options: ExecOptions;
}

/** What a command is said to have done. What is left out: exit code 0, no output, nothing else happened. */
export type MockResult = Partial<Pick<ExecResult, 'exitCode' | 'stdout' | 'stderr' | 'signal' | 'oomKilled'>>;

/** Answers calls. Undefined passes a call on to the next; one that never resolves is a command that never ends. */
export type MockAnswer = (call: MockCall) => MockResult | undefined | Promise<MockResult | undefined>;

/** Answers in the order in which they were given, the last one first. */
export class Script {
  readonly #answers: MockAnswer[] = [];

  add(answer: MockAnswer): void {
    this.#answers.unshift(answer);
  }

  /** Rejects with `unimplemented` where nothing answers: what a command does is never made up. */
  async answer(call: MockCall): Promise<MockResult> {
    for (const answer of this.#answers) {
      const result = await answer(call);
      if (result !== undefined) return result;
    }
    const argv = JSON.stringify([call.command, ...call.args]);
    throw new DriverError('unimplemented', `the mock has no answer to ${argv}: give it one with provider.answer`, {
      operation: 'exec',
    });
  }
}

/** An answer to this command alone: with these arguments, or with any. */
export function answerCommand(command: string, args: readonly string[] | undefined, result: MockResult): MockAnswer {
  const isSame = (given: readonly string[]) =>
    args === undefined || (given.length === args.length && given.every((word, index) => word === args[index]));
  return (call) => (call.command === command && isSame(call.args) ? result : undefined);
}
