import { DriverError } from '../core/error.js';
import type { OciUser } from './types.js';

/** The texts of the image's own /etc/passwd and /etc/group; empty where it has none. */
export interface UserFiles {
  passwd: string;
  group: string;
}

const ID_LIMIT = 2 ** 32 - 2;

/**
 * Resolves `name`, `uid`, `uid:gid`, `name:group` as the image's files have it (passwd(5), group(5)). A number needs no
 * entry; its group is then 0, as runtimes have it. Supplementary groups come with a name that is not followed by a
 * group. Throws `invalid-argument` for a name that is not there.
 */
export function resolveUser(text: string, files: UserFiles): OciUser {
  const [userText = '', groupText] = text.split(':');
  const users = readEntries(files.passwd, [2, 3]);
  const groups = readEntries(files.group, [2]);
  const number = parseId(userText);
  const entry = users.find((fields) => (number === undefined ? fields[0] === userText : Number(fields[2]) === number));
  const uid = number ?? (entry && Number(entry[2]));
  if (uid === undefined || text.split(':').length > 2) throw refuse(text, 'a user of the image, or a uid');
  if (groupText !== undefined) return { uid, gid: resolveGroup(text, groupText, groups) };
  const name = entry?.[0];
  const more = groups.filter((fields) => name !== undefined && fields[3]?.split(',').includes(name));
  const additionalGids = more.map((fields) => Number(fields[2]));
  return { uid, gid: entry ? Number(entry[3]) : 0, ...(additionalGids.length > 0 ? { additionalGids } : {}) };
}

function resolveGroup(text: string, groupText: string, groups: string[][]): number {
  const gid = parseId(groupText) ?? groups.find((fields) => fields[0] === groupText)?.[2];
  if (gid === undefined) throw refuse(text, 'a group of the image, or a gid, behind the colon');
  return Number(gid);
}

function parseId(text: string): number | undefined {
  return /^\d{1,10}$/.test(text) && Number(text) <= ID_LIMIT ? Number(text) : undefined;
}

/**
 * Entries whose ids are numbers; what else an image has in its files counts for nothing. A user whose group is none is
 * not given another: an empty one would be root's.
 */
function readEntries(text: string, ids: readonly number[]): string[][] {
  return text
    .split('\n')
    .map((line) => line.split(':'))
    .filter((fields) => fields.length > 3 && ids.every((id) => parseId(fields[id] ?? '') !== undefined));
}

function refuse(value: string, expected: string): DriverError {
  const faults = [{ path: 'user', value, expected }];
  return new DriverError('invalid-argument', `invalid user ${JSON.stringify(value)}: expected ${expected}`, { faults });
}
