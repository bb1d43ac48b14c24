/** Asks a daemon for its version with nothing of the library under test in between. */
import { Client, credentials } from '@grpc/grpc-js';

const PATH = '/containerd.services.version.v1.Version/Version';

/** Rejects with a grpc-js ServiceError when nothing answers within a second. */
export async function fetchVersion(address: string): Promise<string> {
  const client = new Client(`unix:${address}`, credentials.createInsecure(), { 'grpc.enable_http_proxy': 0 });
  try {
    return await new Promise((resolve, reject) => {
      client.makeUnaryRequest<Buffer, string>(
        PATH,
        (request) => request,
        decodeVersion,
        Buffer.alloc(0),
        { deadline: Date.now() + 1000 },
        (error, version) => (error ? reject(error) : resolve(version ?? '')),
      );
    });
  } finally {
    client.close();
  }
}

/** VersionResponse: `string version = 1; string revision = 2`. A tag byte, a length byte, the text. */
function decodeVersion(message: Buffer): string {
  if (message[0] !== 0x0a) throw new Error(`not a VersionResponse: ${message.toString('hex')}`);
  return message.toString('utf8', 2, 2 + (message[1] ?? 0));
}
