import type { DriverError } from '../core/error.js';
import { findGateHelper } from './gate.js';
import { findMissing } from './plugins.js';
import { findTool, lookUpTool, runTool, type Tool } from './tools.js';
import { REDIRECT } from './wall.js';

/** Of the library's own networks. */
const plugins = ['bridge', 'host-local', 'portmap', 'bandwidth'];
const tools: Tool[] = ['unshare', 'ip', 'iptables'];
/** Of allowlists. */
const wallTools: Tool[] = ['unshare', 'nsenter', 'ip', 'iptables'];

/** What this host lacks to give sessions a network; empty when nothing is missing. */
export function listLacks(): string[] {
  return [...findMissing(plugins).map((type) => `CNI plugin ${type}`), ...tools.filter((name) => !lookUpTool(name))];
}

/** What it lacks to give sessions an allowlist, as far as files tell; empty when nothing is missing. */
export function listWallLacks(): string[] {
  const helper = findGateHelper() === undefined ? [`gate-linux-${process.arch} of this package`] : [];
  return [...wallTools.filter((name) => !lookUpTool(name)), ...helper];
}

let redirecting: Promise<string | undefined> | undefined;

/** Why the kernel takes no rule that brings connections to a gate; tried once, in a namespace of the trial's own. */
export function explainNoRedirect(): Promise<string | undefined> {
  redirecting ??= runTool('unshare', [
    '--net',
    findTool('iptables'),
    ...['--wait', '--table', 'mangle', '--append', ...REDIRECT],
  ]).then(
    () => undefined,
    (error: DriverError) => error.message,
  );
  return redirecting;
}
