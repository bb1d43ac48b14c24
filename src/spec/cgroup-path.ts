/** The `linux.cgroupsPath` of a session: below its namespace, or a scope that systemd makes in system.slice. */
export function nameCgroup(namespace: string, id: string, { systemd = false } = {}): string {
  return systemd ? `system.slice:${namespace}:${id}` : `/${namespace}/${id}`;
}

/** Where the hierarchies have it: of `SLICE:PREFIX:NAME` runc has systemd make a unit (its docs/systemd.md). */
export function locateCgroup(cgroupsPath: string): string {
  const [slice, prefix, name] = cgroupsPath.split(':');
  return name === undefined ? cgroupsPath : `/${slice}/${prefix}-${name}.scope`;
}

/** Whether a path of a hierarchy is such a group of the session, below whatever root its reader has. */
export function isCgroupOf(path: string, id: string): boolean {
  return path.endsWith(`/${id}`) || path.endsWith(`-${id}.scope`);
}
