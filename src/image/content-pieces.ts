import { WriteContentRequest } from '../generated/github.com/containerd/containerd/api/services/content/v1/content.js';

/** Bytes of one write. CPU time of the client for 1 GiB, measured: 2.3 s by 256 KiB, 1.3 s by 1 MiB, 0.9 s by 4 MiB. */
const PIECE_BYTES = 4 * 1024 * 1024;
/** What has waited for so long, in ms, is written as it is: it is lost if we die, and others look whether we come further. */
const PIECE_MS = 250;
/** Left free before the bytes, for the other fields of the request. */
const HEAD_BYTES = 8192;
/** Tag of the field `data`: number 6, with a length (protobuf encoding, "Message Structure"). */
const DATA_TAG = (6 << 3) | 2;
const nothing = Buffer.alloc(0);

/** Bytes of a blob with room before them. Valid until the next one is asked for. */
export interface Piece {
  /** What `data` is at the end of. */
  buffer: Buffer;
  data: Buffer;
}

/**
 * Encodes a request; the bytes of a piece stay where they are, and the other fields go into the room before them. The
 * generated encoder copies them four times into new memory, whose collection takes a third of the client's CPU time in
 * a pull.
 */
export function encodeWrite(fields: Omit<WriteContentRequest, 'data'>, piece?: Piece): Buffer {
  const head = WriteContentRequest.encode({ ...fields, data: nothing });
  if (piece === undefined) return Buffer.from(head.finish());
  const { buffer, data } = piece;
  // A field may be anywhere in a message, so that the bytes can be the last one.
  const encoded = head.uint32(DATA_TAG).uint32(data.length).finish();
  const start = data.byteOffset - buffer.byteOffset - encoded.length;
  buffer.set(encoded, start);
  return buffer.subarray(start, start + encoded.length + data.length);
}

/** Gathers small chunks into pieces, without the first `skip` bytes. What came before a failure is given before it. */
export async function* gatherPieces(data: AsyncIterable<Uint8Array>, skip: number): AsyncGenerator<Piece> {
  const buffer = Buffer.allocUnsafeSlow(HEAD_BYTES + PIECE_BYTES);
  let end = HEAD_BYTES;
  let toSkip = skip;
  let since = performance.now();
  const take = () => {
    const piece = { buffer, data: buffer.subarray(HEAD_BYTES, end) };
    end = HEAD_BYTES;
    return piece;
  };
  try {
    for await (const chunk of data) {
      let start = Math.min(toSkip, chunk.length);
      toSkip -= start;
      while (start < chunk.length) {
        if (end === HEAD_BYTES) since = performance.now();
        const part = chunk.subarray(start, start + buffer.length - end);
        buffer.set(part, end);
        end += part.length;
        start += part.length;
        if (end === buffer.length) yield take();
      }
      if (end > HEAD_BYTES && performance.now() - since > PIECE_MS) yield take();
    }
  } catch (error) {
    if (end > HEAD_BYTES) yield take();
    throw error;
  }
  if (end > HEAD_BYTES) yield take();
}
