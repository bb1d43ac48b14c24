import { DriverError } from '../core/error.js';
import type { Any } from '../generated/google/protobuf/any.js';

interface Codec<T> {
  decode(input: Uint8Array): T;
}

interface Encoder<T> {
  encode(message: T): { finish(): Uint8Array };
}

/**
 * Packs a value as JSON, as containerd itself does for OCI documents. The type is a bare name: containerd 1.6 refuses
 * the prefix `type.googleapis.com/`.
 */
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

/** Packs a message, under its bare name as well. */
export function packMessage<T>(typeUrl: string, codec: Encoder<T>, message: NoInfer<T>): Any {
  return { typeUrl, value: Buffer.from(codec.encode(message).finish()) };
}

export function unpackMessage<T>(typeUrl: string, codec: Codec<T>, any: Any): T {
  const actual = any.typeUrl.replace(/^type\.googleapis\.com\//, '');
  if (actual !== typeUrl) throw new DriverError('data-loss', `expected a ${typeUrl}, got a ${any.typeUrl}`);
  return codec.decode(any.value);
}
