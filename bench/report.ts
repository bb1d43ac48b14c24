import type { Result } from './result.js';
import type { Ratio } from './stats.js';
import type { HoldSummary, MetricSummary } from './summary.js';
import type { Verdict } from './verdicts.js';

const COMPARED = ['go', 'docker', 'runc'] as const;

/** The whole report as text. */
export function renderReport(result: Result): string {
  return [
    renderFacts(result),
    renderMetrics(
      result.metrics,
      result.peers.map(({ name }) => name),
    ),
    renderHolds(result.holds),
    renderVerdicts(result.verdicts),
  ]
    .filter(Boolean)
    .join('\n\n');
}

function renderFacts({ machine, peers, skipped, containerd, spec, mode, date, seconds }: Result): string {
  const { cores, cpu, memoryGib, kernel, cgroups, commit, busyBefore } = machine;
  const busy = Math.round(busyBefore * 100);
  return [
    `${date}, ${mode} run of ${Math.round(seconds)} s, commit ${commit}`,
    `${cores} cores (${cpu}), ${memoryGib} GiB, kernel ${kernel}, cgroups ${cgroups}, containerd ${containerd}, runc ${machine.runc}`,
    `spec: ${spec}; ${busy} % of the processors were busy with other things before the run${busy > 10 ? ': NOT A QUIET MACHINE' : ''}`,
    ...peers.map(({ name, version }) => `peer ${name}: ${version}`),
    ...skipped.map(({ name, reason }) => `SKIPPED ${name}: ${reason}`),
  ].join('\n');
}

function renderMetrics(metrics: readonly MetricSummary[], names: readonly string[]): string {
  const compared = COMPARED.filter((name) => names.includes(name) && names.includes('ours'));
  const header = ['median (p95)', 'idle ms', 'n', ...names, ...compared.map((name) => `ours/${name}`)];
  const rows = metrics.map(({ label, unit, peers, ratios }) => {
    const first = Object.values(peers)[0];
    return [
      `${label}, ${unit}`,
      first ? formatNumber(first.gapMs) : '',
      `${first?.samples ?? ''}`,
      ...names.map((name) => {
        const figures = peers[name as keyof typeof peers];
        return figures ? `${formatNumber(figures.median)} (${formatNumber(figures.p95)})` : '-';
      }),
      ...compared.map((name) => formatRatio(ratios[name])),
    ];
  });
  return renderTable([header, ...rows]);
}

function renderHolds(holds: readonly HoldSummary[]): string {
  if (holds.length === 0) return '';
  const header = ['cost of live sessions', 'alive', 'RSS MB', 'heap MB', 'fds', 'one more: RSS KB', 'heap KB', 'fds'];
  const rows = holds.flatMap(({ peer, steps, rssKb, heapKb, fds }) =>
    steps.map((step, index) => [
      peer,
      `${step.alive}`,
      formatNumber(step.rss / 1e6),
      step.heap === undefined ? '-' : formatNumber(step.heap / 1e6),
      `${step.fds}`,
      ...(index === steps.length - 1
        ? [formatNumber(rssKb), heapKb === undefined ? '-' : formatNumber(heapKb), formatNumber(fds)]
        : ['', '', '']),
    ]),
  );
  return renderTable([header, ...rows]);
}

function renderVerdicts(verdicts: readonly Verdict[]): string {
  if (verdicts.length === 0) return '';
  const rows = verdicts.map(({ claim, value, interval, met, close }) => [
    claim,
    value.toFixed(2),
    interval ? `${interval[0].toFixed(2)}-${interval[1].toFixed(2)}` : '-',
    `${met ? 'met' : 'MISSED'}${close ? ', within noise' : ''}`,
  ]);
  return renderTable([['must hold', 'value', '95 % interval', ''], ...rows]);
}

function renderTable(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const render = (row: readonly string[]) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
      .trimEnd();
  const [header = [], ...body] = rows;
  return [render(header), '-'.repeat(render(header).length), ...body.map(render)].join('\n');
}

function formatRatio(ratio: Ratio | undefined): string {
  if (ratio === undefined) return '-';
  const { value, interval } = ratio;
  return value.toFixed(2) + (interval ? ` [${interval[0].toFixed(2)}-${interval[1].toFixed(2)}]` : '');
}

/** Three digits that matter. */
function formatNumber(value: number): string {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}
