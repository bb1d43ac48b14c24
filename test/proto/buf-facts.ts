import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { describeEnumValue, describeField, describeRpc, type Facts } from './facts.js';

const root = join(import.meta.dirname, '../..');

/** The parts of google.protobuf.FileDescriptorSet that say something about the wire, in its JSON form. */
interface DescriptorSet {
  file: (Scope & { package: string; service?: Service[] })[];
}
interface Scope {
  messageType?: Message[];
  enumType?: { name: string; value: { name: string; number?: number }[] }[];
}
interface Message extends Pick<Scope, 'enumType'> {
  name: string;
  field?: Field[];
  nestedType?: Message[];
  oneofDecl?: { name: string }[];
  options?: { mapEntry?: boolean };
}
interface Field {
  name: string;
  number: number;
  label: 'LABEL_OPTIONAL' | 'LABEL_REPEATED' | 'LABEL_REQUIRED';
  type: string;
  typeName?: string;
  oneofIndex?: number;
  proto3Optional?: boolean;
}
interface Service {
  name: string;
  method?: {
    name: string;
    inputType: string;
    outputType: string;
    clientStreaming?: boolean;
    serverStreaming?: boolean;
  }[];
}

/** What our own proto/ says, as buf understands it. Well-known types are left out: buf brings them along. */
export function readOwnFacts(): Facts {
  const json = execFileSync(join(root, 'node_modules/.bin/buf'), ['build', '-o', '-#format=json'], {
    cwd: root,
    maxBuffer: 64 * 1024 * 1024,
  });
  const facts: Facts = new Map();
  for (const file of (JSON.parse(json.toString('utf8')) as DescriptorSet).file) {
    if (file.package === 'google.protobuf') continue;
    addEnums(facts, file.package, file.enumType);
    for (const message of file.messageType ?? []) addMessage(facts, file.package, message);
    for (const service of file.service ?? []) addService(facts, `${file.package}.${service.name}`, service);
  }
  return facts;
}

function addMessage(facts: Facts, scope: string, message: Message): void {
  const name = `${scope}.${message.name}`;
  const nested = message.nestedType ?? [];
  const entries = new Map(nested.filter(isMapEntry).map((entry) => [`.${name}.${entry.name}`, entry]));
  facts.set(name, { text: 'message' });
  for (const field of message.field ?? []) {
    const entry = entries.get(field.typeName ?? '');
    const repeated = field.label === 'LABEL_REPEATED' ? 'repeated' : 'singular';
    const oneof = field.proto3Optional ? undefined : message.oneofDecl?.[field.oneofIndex ?? -1]?.name;
    facts.set(
      `${name}.${field.name}`,
      describeField({
        number: field.number,
        type: entry === undefined ? nameType(field) : `map<${(entry.field ?? []).map(nameType).join(', ')}>`,
        cardinality: field.proto3Optional ? 'optional' : entry === undefined ? repeated : 'singular',
        oneof,
      }),
    );
  }
  addEnums(facts, name, message.enumType);
  for (const inner of nested) if (!isMapEntry(inner)) addMessage(facts, name, inner);
}

function isMapEntry({ options }: Message): boolean {
  return options?.mapEntry === true;
}

function addEnums(facts: Facts, scope: string, enums: Scope['enumType'] = []): void {
  for (const { name, value } of enums) {
    facts.set(`${scope}.${name}`, { text: 'enum' });
    for (const { name: key, number = 0 } of value) facts.set(`${scope}.${name}.${key}`, describeEnumValue(number));
  }
}

function addService(facts: Facts, name: string, { method = [] }: Service): void {
  facts.set(name, { text: 'service' });
  for (const { name: rpc, inputType, outputType, clientStreaming = false, serverStreaming = false } of method) {
    facts.set(
      `${name}/${rpc}`,
      describeRpc({
        request: inputType.slice(1),
        response: outputType.slice(1),
        requestStream: clientStreaming,
        responseStream: serverStreaming,
      }),
    );
  }
}

/** `TYPE_UINT32` is `uint32`; a message or enum goes by its full name, without the leading dot. */
function nameType({ type, typeName }: Field): string {
  return typeName?.slice(1) ?? type.replace('TYPE_', '').toLowerCase();
}
