import type { OciProcess } from '../../spec/types.js';
import type { FilesRequest } from '../executor.js';

/** What native/protocol.h says, in its words. */
export const MAGIC = 0x52444143;
export const VERSION = 1;
export const MAX_DATA = 64 * 1024;
export const MAX_OUTPUT = 256 * 1024;
/** Output that comes before it is told to be taken. */
export const WINDOW = 512 * 1024;
const MAX_COMMAND = 256 * 1024;
export const HEADER_BYTES = 12;
/** The supervisor does not know how the command ended: something inside killed what waited for it. */
export const LOST_CODE = 0xffffffff;
/** Nor what it left running. */
export const LEFT_UNKNOWN = 0xffffffff;

export const request = {
  hello: 1,
  begin: 2,
  exec: 3,
  connect: 4,
  input: 5,
  inputEnd: 6,
  signal: 7,
  resize: 8,
  taken: 9,
  release: 10,
  detach: 11,
  list: 12,
  kill: 13,
} as const;

export const answer = {
  welcome: 64,
  started: 65,
  failed: 66,
  output: 67,
  errorOutput: 68,
  outputEnd: 69,
  inputTaken: 70,
  exited: 71,
  item: 72,
  listed: 73,
  killed: 74,
} as const;

/** Bytes that a payload has at least. */
export const leastBytes: Record<number, number> = {
  [answer.welcome]: 12,
  [answer.started]: 16,
  [answer.failed]: 8,
  [answer.outputEnd]: 4,
  [answer.inputTaken]: 4,
  [answer.exited]: 12,
  [answer.item]: 8,
  [answer.killed]: 4,
};

export const stage = { fork: 0, cwd: 1, run: 2, name: 3 } as const;

const WITH_INPUT = 1;
const WITH_TERMINAL = 2;
const WITH_FILES = 4;
/** Its start is told at once, not with what comes next. */
const AT_ONCE = 8;
/** Of a start: nothing else that the supervisor had started was there. */
const ALONE = 16;

export function encodeHeader(type: number, stream: number, size: number): Buffer {
  return encodeNumbers(size, type, stream);
}

export function encodeFrame(type: number, stream: number, payload?: Uint8Array): Buffer {
  const header = encodeHeader(type, stream, payload?.length ?? 0);
  return payload === undefined ? header : Buffer.concat([header, payload]);
}

export function encodeNumbers(...values: number[]): Buffer {
  const payload = Buffer.allocUnsafe(4 * values.length);
  let at = 0;
  for (const value of values) at = payload.writeUInt32LE(value, at);
  return payload;
}

export function encodeHello(): Buffer {
  const payload = Buffer.allocUnsafe(8);
  payload.writeUInt32LE(MAGIC, 0);
  payload.writeUInt16LE(VERSION, 4);
  payload.writeUInt16LE(VERSION, 6);
  return encodeFrame(request.hello, 0, payload);
}

export function encodeSize(cols: number, rows: number): Buffer {
  const payload = Buffer.allocUnsafe(4);
  payload.writeUInt16LE(cols, 0);
  payload.writeUInt16LE(rows, 2);
  return payload;
}

/** What of a process the supervisor is told: all else is its own. */
export type Command = Pick<OciProcess, 'args' | 'env' | 'cwd' | 'terminal' | 'consoleSize'>;

/** Undefined when the supervisor would refuse it for its size. */
export function encodeCommand(
  name: string,
  process: Command,
  { stdin = false, atOnce = true }: { stdin?: boolean; atOnce?: boolean } = {},
): Buffer | undefined {
  const { args, env, cwd, terminal = false, consoleSize: { width, height } = { width: 0, height: 0 } } = process;
  const strings = Buffer.from(`${[name, cwd, ...args, ...env].join('\0')}\0`);
  const flags = (stdin ? WITH_INPUT : 0) | (terminal ? WITH_TERMINAL : 0) | (atOnce ? AT_ONCE : 0);
  const counts = encodeNumbers(args.length, env.length);
  const payload = Buffer.concat([encodeNumbers(flags), encodeSize(width, height), counts, strings]);
  return payload.length > MAX_COMMAND ? undefined : payload;
}

/** An operation on files; its arguments are bytes, as names of files are. */
export function encodeFiles({ execId, args, input }: FilesRequest): Buffer {
  const flags = WITH_FILES | AT_ONCE | (input ? WITH_INPUT : 0);
  const strings = [Buffer.from(execId), Buffer.from('/'), ...args].flatMap((bytes) => [bytes, Buffer.alloc(1)]);
  return Buffer.concat([encodeNumbers(flags), encodeSize(0, 0), encodeNumbers(args.length, 0), ...strings]);
}

/** What is told of a command that runs. */
export function readFlags(flags: number): { stdin: boolean; terminal: boolean; alone: boolean } {
  return {
    stdin: (flags & WITH_INPUT) !== 0,
    terminal: (flags & WITH_TERMINAL) !== 0,
    alone: (flags & ALONE) !== 0,
  };
}
