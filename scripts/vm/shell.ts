/** What is typed or piped to the shell that the guest gives with --keep. */
import type { ChildProcess } from 'node:child_process';

/** What the guest says when it has one; until then nothing would read, and Ctrl-C is ours. */
const PROMPT = 'guest: a shell';

/** Passes the guest's output on, and to its shell what we read. The end of that leaves it. Returns what undoes it all. */
export function connectShell({ stdin: typed, stdout: shown }: ChildProcess): () => void {
  if (!typed || !shown) throw new Error('the guest has no input or no output');
  const { stdin, stdout } = process;
  let before = '';
  const type = (data: string | Uint8Array) => {
    if (typed.writable) typed.write(data);
  };
  const leave = () => type('\nexit\n');
  const connect = () => {
    // A terminal is the guest's for as long: it echoes, and Ctrl-C is for what runs there.
    if (stdin.isTTY) stdin.setRawMode(true);
    stdin.on('data', type).once('end', leave);
  };
  const look = (data: Buffer) => {
    before += data;
    if (before.includes(PROMPT)) {
      shown.off('data', look);
      connect();
    }
    before = before.slice(-PROMPT.length);
  };
  shown.pipe(stdout);
  shown.on('data', look);
  // Of a guest that has ended meanwhile: how is told by its end.
  typed.on('error', () => undefined);
  return () => {
    stdin.off('data', type).off('end', leave);
    if (stdin.isTTY) stdin.setRawMode(false);
    stdin.pause();
  };
}
