import type { OciSpec } from '../../spec/types.js';
import type { Check } from './check.js';
import { checkInside } from './nsenter.js';

export async function checkSysctls({ linux: { sysctl = {} } }: OciSpec, pid: number): Promise<Check[]> {
  return Promise.all(
    Object.entries(sysctl).map(([name, expected]) => {
      const path = `/proc/sys/${name.replaceAll('.', '/')}`;
      const source = `${path} in its namespaces`;
      const field = `linux.sysctl.${name}`;
      const read = (text: string) => text.trim().replace(/\s+/g, ' ');
      return checkInside(pid, { field, expected, namespaces: ['ipc', 'net'], command: ['cat', path], source, read });
    }),
  );
}
