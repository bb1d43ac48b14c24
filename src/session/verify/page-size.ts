import { readFileSync } from 'node:fs';
import { endianness } from 'node:os';

/** getauxval(3) */
const AT_PAGESZ = 6n;
const WORD = 8;

/** The kernel's page, in bytes: what memory is counted in. */
export function readPageSize(): number {
  const vector = readFileSync('/proc/self/auxv');
  const read = (offset: number) =>
    endianness() === 'LE' ? vector.readBigUInt64LE(offset) : vector.readBigUInt64BE(offset);
  for (let offset = 0; offset + 2 * WORD <= vector.length; offset += 2 * WORD) {
    if (read(offset) === AT_PAGESZ) return Number(read(offset + WORD));
  }
  throw new Error('the kernel names no page size in /proc/self/auxv');
}
