import { DriverError } from '../core/error.js';
import type { Any } from '../generated/google/protobuf/any.js';

interface Codec<T> {
  encode(message: T): { finish(): Uint8Array };
  decode(input: Uint8Array): T;
}

/** Packs a protobuf message. containerd 1.6 refuses the `type.googleapis.com/` prefix, so the bare full name is sent. */
export function packMessage<T>(typeUrl: string, codec: Codec<T>, message: T): Any {
  return { typeUrl, value: Buffer.from(codec.encode(message).finish()) };
}

/** Packs a value as JSON, as containerd itself does for OCI documents. */
export function packJson(typeUrl: string, value: unknown): Any {
  return { typeUrl, value: Buffer.from(JSON.stringify(value)) };
}

export function unpackJson(any: Any): unknown {
  try {
    return JSON.parse(Buffer.from(any.value).toString('utf8'));
  } catch (cause) {
    throw new DriverError('data-loss', `payload of type ${any.typeUrl} is not JSON`, { cause });
  }
}

export function unpackMessage<T>(typeUrl: string, codec: Codec<T>, any: Any): T {
  const actual = any.typeUrl.replace(/^type\.googleapis\.com\//, '');
  if (actual !== typeUrl) throw new DriverError('data-loss', `expected a ${typeUrl}, got a ${any.typeUrl}`);
  return codec.decode(any.value);
}
