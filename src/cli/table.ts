import { stripVTControlCharacters } from 'node:util';

/** Columns as wide as their widest cell, colours not counted; the last one as it is. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const measure = (cell = '') => stripVTControlCharacters(cell).length;
  const widths = header.map((title, index) => Math.max(title.length, ...rows.map((row) => measure(row[index]))));
  const pad = (cell: string, width: number) => cell + ' '.repeat(width - measure(cell));
  const format = (row: readonly string[]) =>
    row.map((cell, index) => (index === row.length - 1 ? cell : pad(cell, widths[index] ?? 0))).join('   ');
  return `${[header, ...rows].map(format).join('\n')}\n`;
}

/** How long ago, or in how long, in the largest unit that says something. */
export function formatAge(ms: number): string {
  const seconds = Math.round(Math.abs(ms) / 1000);
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 120) return `${minutes}m`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours}h` : `${Math.round(hours / 24)}d`;
}

export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  const value = bytes / 1024 ** power;
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[power]}`;
}
