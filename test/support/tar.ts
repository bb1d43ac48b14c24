/** Writes ustar archives. Our own few lines, so that a reader under test never reads what the same library wrote. */

export interface TarEntry {
  /** Without a leading slash; a directory's ends in `/`. */
  readonly path: string;
  /** Permission bits. Defaults to 0o755 for directories, 0o777 for links, 0o644 for files. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly data?: Uint8Array | string;
  /** Makes it a symbolic link. */
  readonly symlink?: string;
  /** Makes it a hard link to an earlier entry. */
  readonly hardlink?: string;
}

const BLOCK = 512;

/** Entries in the given order, dated at the epoch: the same input is the same archive, byte for byte. */
export function packTar(entries: readonly TarEntry[]): Buffer {
  const blocks: Buffer[] = [];
  for (const entry of entries) {
    const data = Buffer.from(entry.data ?? '');
    blocks.push(renderHeader(entry, data.length), data, Buffer.alloc(-data.length & (BLOCK - 1)));
  }
  return Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK)]);
}

function renderHeader(entry: TarEntry, size: number): Buffer {
  const { type, mode } = classify(entry);
  const header = Buffer.alloc(BLOCK);
  const { prefix, name } = splitPath(entry.path);
  header.write(name, 0, 100);
  writeOctal(header, entry.mode ?? mode, 100, 8);
  writeOctal(header, entry.uid ?? 0, 108, 8);
  writeOctal(header, entry.gid ?? 0, 116, 8);
  writeOctal(header, size, 124, 12);
  writeOctal(header, 0, 136, 12);
  header.fill(' ', 148, 156);
  header.write(type, 156);
  header.write(entry.symlink ?? entry.hardlink ?? '', 157, 100);
  header.write('ustar\x0000', 257, 'latin1');
  header.write(prefix, 345, 155);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

function classify(entry: TarEntry): { type: string; mode: number } {
  if (entry.symlink !== undefined) return { type: '2', mode: 0o777 };
  if (entry.hardlink !== undefined) return { type: '1', mode: 0o644 };
  return entry.path.endsWith('/') ? { type: '5', mode: 0o755 } : { type: '0', mode: 0o644 };
}

/** ustar keeps a long path in two parts that a slash joins. */
function splitPath(path: string): { prefix: string; name: string } {
  if (Buffer.byteLength(path) <= 100) return { prefix: '', name: path };
  const cut = path.indexOf('/', path.length - 101);
  if (cut < 0 || cut > 155) throw new Error(`path too long for ustar: ${path}`);
  return { prefix: path.slice(0, cut), name: path.slice(cut + 1) };
}

function writeOctal(header: Buffer, value: number, offset: number, width: number): void {
  header.write(`${value.toString(8).padStart(width - 1, '0')}\0`, offset, 'latin1');
}
