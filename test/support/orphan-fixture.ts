/** A program that starts a daemon, says where, and waits to be killed: see daemon.e2e.test.ts. */
import type { Generation } from './containerd-binary.js';
import { startDaemon } from './daemon.js';

const daemon = await startDaemon({ generation: process.argv[2] as Generation });
console.log(daemon.root);
setInterval(() => {}, 60_000);
