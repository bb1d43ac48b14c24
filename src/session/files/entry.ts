import { isUtf8 } from 'node:buffer';
import { constants } from 'node:fs';
import { DriverError } from '../../core/error.js';

/** `other`: a device, a FIFO or a socket. */
export type FileType = 'file' | 'dir' | 'symlink' | 'other';

/** What is at a path. */
export interface FileStat {
  /** What it is. */
  type: FileType;
  /** In bytes. */
  size: number;
  /** Permissions with set-id and sticky bits, such as 0o644. */
  mode: number;
  /** Owner, as the session numbers it. */
  uid: number;
  /** Group, as the session numbers it. */
  gid: number;
  /** When its content was last changed. */
  modifiedAt: Date;
  /** Where a symbolic link leads to; absent for anything else. */
  target?: string;
}

/** One name in a directory. */
export interface FileEntry extends Omit<FileStat, 'target'> {
  /** Without its directory. U+FFFD stands for what is no UTF-8. */
  name: string;
  /** The name as it is, where `name` is not: the last part of a path of bytes. */
  nameBytes?: Uint8Array;
}

/** `struct entry` of native/protocol.h. */
const ENTRY_BYTES = 32;

const types: Record<number, FileType> = {
  [constants.S_IFREG]: 'file',
  [constants.S_IFDIR]: 'dir',
  [constants.S_IFLNK]: 'symlink',
};

export interface RawEntry extends Omit<FileStat, 'target'> {
  /** A name, or where a link leads to. */
  text: Buffer;
}

/** Throws `data-loss` for what no supervisor tells. */
export function parseEntries(told: Buffer): RawEntry[] {
  const entries: RawEntry[] = [];
  for (let at = 0; at < told.length; ) {
    if (told.length - at < ENTRY_BYTES) throw describeGarbage();
    const mode = told.readUInt32LE(at);
    const text = told.subarray(at + ENTRY_BYTES, at + ENTRY_BYTES + told.readUInt32LE(at + 12));
    if (text.length !== told.readUInt32LE(at + 12)) throw describeGarbage();
    entries.push({
      type: types[mode & constants.S_IFMT] ?? 'other',
      size: Number(told.readBigUInt64LE(at + 16)),
      mode: mode & 0o7777,
      uid: told.readUInt32LE(at + 4),
      gid: told.readUInt32LE(at + 8),
      modifiedAt: new Date(Number(told.readBigInt64LE(at + 24))),
      text,
    });
    at += ENTRY_BYTES + text.length;
  }
  return entries;
}

/** A name that is more than a name would lead out of its directory. */
export function nameEntry({ text, ...stat }: RawEntry): FileEntry {
  const name = text.toString();
  if (text.length === 0 || name === '.' || name === '..' || text.includes('/') || text.includes(0)) {
    throw describeGarbage();
  }
  return { name, ...(isUtf8(text) ? {} : { nameBytes: new Uint8Array(text) }), ...stat };
}

function describeGarbage(): DriverError {
  return new DriverError('data-loss', 'no list of files', { operation: 'supervisor' });
}
