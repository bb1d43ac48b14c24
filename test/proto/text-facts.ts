import protobuf from 'protobufjs';
import { describeEnumValue, describeField, describeRpc, type Facts } from './facts.js';

const wellKnown = ['any', 'duration', 'empty', 'field_mask', 'struct', 'timestamp', 'wrappers'];

/**
 * What .proto texts say, as protobufjs understands them: a second parser, so that a mistake of one does not prove itself.
 * Imports are not followed; give all files at once.
 */
export function parseFacts(texts: Iterable<string>): Facts {
  const root = new protobuf.Root();
  for (const name of wellKnown) {
    const { nested } = protobuf.common.get(`google/protobuf/${name}.proto`) ?? {};
    if (nested !== undefined) root.addJSON(nested);
  }
  for (const text of texts) {
    // gogo's and containerd's own field options extend descriptors, which protobufjs does not carry. They tell Go what
    // to generate and nothing about the wire.
    if (!/^extend /m.test(text)) protobuf.parse(text, root, { keepCase: true });
  }
  root.resolveAll();
  const facts: Facts = new Map();
  addNamespace(facts, root);
  return facts;
}

function addNamespace(facts: Facts, space: protobuf.NamespaceBase): void {
  const name = fullName(space);
  if (name === 'google.protobuf') return;
  if (space instanceof protobuf.Type) addMessage(facts, name, space);
  if (space instanceof protobuf.Service) addService(facts, name, space);
  for (const inner of space.nestedArray) {
    if (inner instanceof protobuf.Enum) addEnum(facts, fullName(inner), inner);
    else if (inner instanceof protobuf.Namespace) addNamespace(facts, inner);
  }
}

function addMessage(facts: Facts, name: string, message: protobuf.Type): void {
  facts.set(name, { text: 'message' });
  for (const field of message.fieldsArray) {
    const type = field.resolvedType === null ? field.type : fullName(field.resolvedType);
    const isOptional = field.options?.proto3_optional === true;
    facts.set(
      `${name}.${field.name}`,
      describeField({
        number: field.id,
        type: field instanceof protobuf.MapField ? `map<${field.keyType}, ${type}>` : type,
        cardinality: isOptional ? 'optional' : field.repeated ? 'repeated' : 'singular',
        oneof: isOptional ? undefined : field.partOf?.name,
      }),
    );
  }
}

function addEnum(facts: Facts, name: string, { values }: protobuf.Enum): void {
  facts.set(name, { text: 'enum' });
  for (const [key, number] of Object.entries(values)) facts.set(`${name}.${key}`, describeEnumValue(number));
}

function addService(facts: Facts, name: string, { methodsArray }: protobuf.Service): void {
  facts.set(name, { text: 'service' });
  for (const method of methodsArray) {
    facts.set(
      `${name}/${method.name}`,
      describeRpc({
        request: method.resolvedRequestType === null ? method.requestType : fullName(method.resolvedRequestType),
        response: method.resolvedResponseType === null ? method.responseType : fullName(method.resolvedResponseType),
        requestStream: method.requestStream === true,
        responseStream: method.responseStream === true,
      }),
    );
  }
}

/** protobufjs writes a leading dot. */
function fullName(object: protobuf.ReflectionObject): string {
  return object.fullName.replace(/^\./, '');
}
