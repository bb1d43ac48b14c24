import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect } from 'vitest';
import { context } from '../support/context.js';

/** A real terminal of 120 by 30 in which a shell runs, with the daemon's address in its environment. */
export function openTerminal(name: string, shell: string) {
  const { root, namespace, address } = context;
  const socket = join(root, `tmux-${namespace}-${name}`);
  const tmux = (...args: string[]) => execFileSync('tmux', ['-S', socket, ...args], { encoding: 'utf8' });
  const env = { CONTAINERD_ADDRESS: address, CONTAINERD_NAMESPACE: namespace };
  const set = Object.entries(env).flatMap(([key, value]) => ['-e', `${key}=${value}`]);
  tmux('-f', '/dev/null', 'new-session', '-d', '-s', 'main', '-x', '120', '-y', '30', ...set, shell);
  const type = (...keys: string[]) => tmux('send-keys', '-t', 'main', '--', ...keys);
  const screen = (...options: string[]) => tmux('capture-pane', '-p', ...options, '-t', 'main');
  return {
    type,
    screen,
    run: (line: string) => type(`${process.execPath} dist/cli/main.js ${line}`, 'Enter'),
    shows: (text: string | RegExp) => expect.poll(() => screen()).toMatch(text),
    resize: (columns: number, rows: number) => tmux('resize-window', '-t', 'main', '-x', `${columns}`, '-y', `${rows}`),
    close: () => tmux('kill-server'),
  };
}

export type Terminal = ReturnType<typeof openTerminal>;
