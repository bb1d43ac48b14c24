// A program of some hundred bytes that makes one system call: no compiler is on a fresh machine, and busybox has no
// way to make any call there is. `probe MODE NR ARG...`, all in hexadecimal; MODE 1 makes it as an i386 program would.
// Its exit code is the errno, or 0. Assembled from:
//
//     lea rsi, [rsp+16]; sub rsp, 64; mov rdi, rsp; mov ecx, 8       eight numbers: mode, nr, six arguments
//   next: lodsq; xor edx, edx; test rax, rax; jnz digit; sub rsi, 8; jmp store       those left out are 0
//   digit: movzx r8d, byte [rax]; test r8d, r8d; jz store; inc rax; sub r8d, '0'; cmp r8d, 10; jb add; sub r8d, 39
//   add: shl rdx, 4; add rdx, r8; jmp digit
//   store: mov rax, rdx; stosq; loop next
//     pop rbp; pop rax; pop rdi; pop rsi; pop rdx; pop r10; pop r8; pop r9; test ebp, ebp; jnz old; syscall
//   end: xor edi, edi; test rax, rax; jns leave; sub edi, eax
//   leave: mov eax, 231; syscall                                                     exit_group
//   old: mov ebx, edi; mov ecx, esi; int 0x80; movsxd rax, eax; jmp end
const code = Buffer.from(
  '488d7424104883ec404889e7b90800000048ad31d24885c075064883ee08eb23440fb6004585c0741a48ffc04183e8304183f80a72044183e827' +
    '48c1e2044c01c2ebdd4889d048abe2c75d585f5e5a415a4158415985ed75120f0531ff4885c0790229c7b8e70000000f0589fb89f1cd804863c0' +
    'ebe5',
  'hex',
);

const BASE = 0x400000n;
const HEADERS = 64 + 56;

/** The probe as a static ELF executable for x86-64 (elf(5)). */
export function buildSyscallProbe(): Buffer {
  const size = BigInt(HEADERS + code.length);
  const header = Buffer.alloc(HEADERS);
  header.write('\x7fELF\x02\x01\x01', 'latin1');
  header.writeUInt16LE(2, 16); // an executable
  header.writeUInt16LE(62, 18); // of x86-64
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(BASE + BigInt(HEADERS), 24); // entry
  header.writeBigUInt64LE(64n, 32); // program headers, one
  header.writeUInt16LE(64, 52);
  header.writeUInt16LE(56, 54);
  header.writeUInt16LE(1, 56);
  header.writeUInt32LE(1, 64); // to be loaded
  header.writeUInt32LE(5, 68); // readable, executable
  header.writeBigUInt64LE(BASE, 80);
  header.writeBigUInt64LE(BASE, 88);
  header.writeBigUInt64LE(size, 96);
  header.writeBigUInt64LE(size, 104);
  header.writeBigUInt64LE(0x1000n, 112);
  return Buffer.concat([header, code]);
}
