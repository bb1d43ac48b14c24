import { accept, dictionary } from '../policy/rule.js';

/** containerd takes labels of 4096 bytes, key and value together; the key has our prefix. */
const METADATA_BYTES = 4000;
const KEY_LENGTH = 200;
const VALUE_BYTES = METADATA_BYTES - KEY_LENGTH;

/** Free labels of a session. */
export const metadataRule = dictionary(
  new RegExp(`^[A-Za-z0-9._/-]{1,${KEY_LENGTH}}$`),
  `a key of at most ${KEY_LENGTH} letters, digits and . _ / -`,
  accept(
    (value) => typeof value === 'string' && Buffer.byteLength(value) <= VALUE_BYTES,
    `a text of at most ${VALUE_BYTES} bytes`,
  ),
);
