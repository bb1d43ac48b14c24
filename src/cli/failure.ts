import { DriverError } from '../core/error.js';

/** One line for a person; the whole of it, causes included, for whoever asks. */
export function printFailure(error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`cadre-containerd: ${message.replaceAll(/\s*\n\s*/g, ' ')}\n`);
  if (process.env.CADRE_DEBUG) console.error(error);
}

/** 2 for what makes no sense as it was asked, else 1. */
export function chooseExitCode(error: unknown): number {
  return error instanceof DriverError && error.code === 'invalid-argument' ? 2 : 1;
}
