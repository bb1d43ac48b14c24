/**
 * A schema as flat facts, one for each name it declares, so that schemas read by different parsers are compared as text:
 *
 *     containerd.services.tasks.v1.CreateTaskRequest          message
 *     containerd.services.tasks.v1.CreateTaskRequest.rootfs   3 repeated containerd.types.Mount
 *     containerd.v1.types.Status.RUNNING                      2
 *     containerd.services.tasks.v1.Tasks/Wait                 (containerd...WaitRequest) returns (containerd...WaitResponse)
 */
export type Facts = Map<string, Fact>;

export interface Fact {
  readonly text: string;
  /** Of a field or an enum value: what really goes over the wire. */
  readonly number?: number;
}

/** What both parsers can say of a field. */
export interface FieldShape {
  readonly number: number;
  /** Scalar name, full name of a message or enum, or `map<key, value>`. */
  readonly type: string;
  readonly cardinality: 'singular' | 'optional' | 'repeated';
  readonly oneof?: string | undefined;
}

export function describeField({ number, type, cardinality, oneof }: FieldShape): Fact {
  const words = [String(number), cardinality === 'singular' ? '' : cardinality, type, oneof ? `in oneof ${oneof}` : ''];
  return { number, text: words.filter((word) => word !== '').join(' ') };
}

export function describeEnumValue(number: number): Fact {
  return { number, text: String(number) };
}

export interface RpcShape {
  readonly request: string;
  readonly response: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
}

export function describeRpc({ request, response, requestStream, responseStream }: RpcShape): Fact {
  const side = (type: string, stream: boolean) => `(${stream ? 'stream ' : ''}${type})`;
  return { text: `${side(request, requestStream)} returns ${side(response, responseStream)}` };
}

/** The message, enum or service that declares this name; undefined for those themselves. */
export function parentOf(name: string, { number }: Fact): string | undefined {
  if (name.includes('/')) return name.slice(0, name.indexOf('/'));
  return number === undefined ? undefined : name.slice(0, name.lastIndexOf('.'));
}
