/** A ClientHello as OpenSSL writes one, as far as who reads the name looks. */
export function writeClientHello(names: readonly string[], { record = 16_384, extensions = 1 } = {}): Buffer {
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32, 7),
    vector(1, Buffer.alloc(32, 9)),
    vector(2, Buffer.from([0x13, 1, 0x13, 2])),
    vector(1, Buffer.from([0])),
    vector(2, Buffer.concat([extension(43, Buffer.from([2, 3, 4])), ...listNames(names, extensions)])),
  ]);
  return writeRecords(Buffer.concat([Buffer.from([1]), vector(3, body)]), record);
}

function listNames(names: readonly string[], extensions: number): Buffer[] {
  if (names.length === 0) return [];
  const entries = names.map((name) => Buffer.concat([Buffer.from([0]), vector(2, Buffer.from(name, 'latin1'))]));
  return Array.from({ length: extensions }, () => extension(0, vector(2, Buffer.concat(entries))));
}

/** Broken up into records of at most so many bytes. */
export function writeRecords(message: Buffer, record: number): Buffer {
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += record) {
    records.push(Buffer.concat([Buffer.from([22, 3, 1]), vector(2, message.subarray(at, at + record))]));
  }
  return Buffer.concat(records);
}

function extension(type: number, content: Buffer): Buffer {
  const head = Buffer.alloc(2);
  head.writeUInt16BE(type);
  return Buffer.concat([head, vector(2, content)]);
}

function vector(size: number, content: Buffer): Buffer {
  const length = Buffer.alloc(size);
  length.writeUIntBE(content.length, 0, size);
  return Buffer.concat([length, content]);
}
