/**
 * Absolute and clean, so that it means what it says. Never below /proc: a descriptor that runc left open there leads
 * out of the session (CVE-2024-21626).
 */
export function isFitCwd(cwd: string): boolean {
  const parts = cwd.split('/').slice(1);
  const isClean = cwd === '/' || parts.every((part) => part !== '' && part !== '.' && part !== '..');
  return cwd.startsWith('/') && isClean && !cwd.includes('\0') && parts[0] !== 'proc';
}
