import { findMissing } from './plugins.js';
import { lookUpTool, type Tool } from './tools.js';

/** Of the library's own networks. */
const plugins = ['bridge', 'host-local', 'portmap', 'bandwidth'];
const tools: Tool[] = ['unshare', 'ip', 'iptables'];

/** What this host lacks to give sessions a network; empty when nothing is missing. */
export function listLacks(): string[] {
  return [...findMissing(plugins).map((type) => `CNI plugin ${type}`), ...tools.filter((name) => !lookUpTool(name))];
}
