const BLOCK = 512;
/** What the twelve bytes of the field hold in octal. */
const OCTAL_BYTES = 0o77777777777;

/** A regular file, or a directory where `path` ends in a slash. */
export interface TarFile {
  /** At most 100 bytes. */
  path: string;
  size: number;
  /** Exactly `size` bytes. */
  data?: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/** A tar of these files, dated at the epoch: the same files are the same archive, byte for byte (pax(1), "ustar"). */
export async function* writeTar(files: Iterable<TarFile>): AsyncGenerator<Uint8Array, void, undefined> {
  for (const file of files) {
    yield renderHeader(file);
    yield* file.data ?? [];
    if (file.size % BLOCK > 0) yield Buffer.alloc(BLOCK - (file.size % BLOCK));
  }
  yield Buffer.alloc(2 * BLOCK);
}

function renderHeader({ path, size }: TarFile): Buffer {
  const isDirectory = path.endsWith('/');
  const header = Buffer.alloc(BLOCK);
  header.write(path, 0, 100);
  header.write(isDirectory ? '0000755\0' : '0000644\0', 100);
  header.write('0000000\x000000000\0', 108);
  // Beyond 8 GiB in base 256, as GNU tar, Go and libarchive write and read it.
  if (size > OCTAL_BYTES) {
    header.writeBigUInt64BE(BigInt(size), 128);
    header[124] = 0x80;
  } else {
    header.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  }
  header.write('00000000000\0', 136);
  header.fill(' ', 148, 156);
  header.write(isDirectory ? '5' : '0', 156);
  header.write('ustar\x0000', 257, 'latin1');
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}
