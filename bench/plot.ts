import { PEERS, type PeerName } from './options.js';
import type { Result } from './result.js';
import type { MetricSummary } from './summary.js';
import { FAINT, INK, renderBar, renderDocument, renderDot, renderLine, renderText } from './svg.js';

const COLORS: Record<PeerName, string> = {
  ours: '#d1581f',
  shared: '#4daf7c',
  crun: '#8c6bb1',
  lean: '#c994c7',
  task: '#7b3fa0',
  go: '#2f6fb4',
  ctr: '#84a9cf',
  docker: '#5f9e6e',
  runc: '#9a9fa6',
};
const WIDTH = 1180;
const PANEL = { width: 372, gap: 16, left: 72, right: 84 };
const BAR = 13;
const ROW = 16;

interface Panel {
  readonly title: string;
  /** Height of the body. */
  readonly height: number;
  draw(x: number, y: number): string[];
}

/** One page: a panel for each kind of figure, and how we compare with the Go client in all of them. */
export function renderPlot(result: Result): string {
  const find = (key: string) => result.metrics.find((metric) => metric.key === key);
  const growth = result.metrics.filter(({ key }) => key.startsWith('alive.'));
  const panels = [
    planBars('Cold session: create, first exec, destroy (ms)', [
      ['whole', find('cold.total')],
      ['to first result', find('cold.first')],
      ['destroy', find('cold.destroy')],
    ]),
    planBars('Warm exec of true (ms)', [
      ['after 400 ms idle', find('warm.idle')],
      ['back to back', find('warm.busy')],
    ]),
    planBars('Streaming 1 GiB (MB/s, more is better)', [
      ['out', find('out.rate')],
      ['in', find('in.rate')],
    ]),
    planBars('Sessions per second (more is better)', [
      ['1 at a time', find('rate.1')],
      ['4 at a time', find('rate.4')],
      ['16 at a time', find('rate.16')],
    ]),
    planBars(
      'Cold session with others alive (ms)',
      growth.map((metric) => [metric.label.replace('cold session, ', ''), metric]),
    ),
    planRatios('Ours against the Go client (right of 1 is better)', result.metrics),
  ].filter((panel) => panel !== undefined);
  const shapes = [...drawHeader(result)];
  let y = 84;
  for (let first = 0; first < panels.length; first += 3) {
    const row = panels.slice(first, first + 3);
    row.forEach(({ title, draw }, column) => {
      const x = 16 + column * (PANEL.width + PANEL.gap);
      shapes.push(renderText(x, y + 14, title, { size: 13, weight: 'bold' }), ...draw(x, y + 26));
    });
    y += 26 + Math.max(...row.map(({ height }) => height)) + 24;
  }
  return renderDocument(WIDTH, y, 'Sessions on containerd: ours and its peers', shapes);
}

function drawHeader({ date, mode, machine, containerd, peers, skipped }: Result): string[] {
  const { cores, cpu, kernel, cgroups, runc, busyBefore, commit } = machine;
  const facts = [
    `${date.slice(0, 10)}, ${mode} run, commit ${commit}`,
    `${cores} cores (${cpu}), kernel ${kernel}, cgroups ${cgroups}, containerd ${containerd}, runc ${runc}`,
    `${Math.round(busyBefore * 100)} % busy before`,
    ...skipped.map(({ name }) => `${name} skipped`),
  ];
  const shown = PEERS.filter((name) => peers.some((peer) => peer.name === name));
  return [
    renderText(16, 28, 'Sessions on containerd: medians, peers interleaved in one run', { size: 17, weight: 'bold' }),
    renderText(16, 47, facts.join(' · '), { size: 11, fill: FAINT }),
    ...shown.flatMap((name, index) => {
      const x = 16 + index * 90;
      return [renderBar(x, 57, 11, 11, COLORS[name]), renderText(x + 16, 67, name)];
    }),
    renderLine(16 + shown.length * 90, 57, 16 + shown.length * 90, 69, INK, 1.5),
    renderText(22 + shown.length * 90, 67, 'and in brackets: 95th percentile (of rates the 5th)', { fill: FAINT }),
  ];
}

function planBars(title: string, given: readonly (readonly [string, MetricSummary | undefined])[]): Panel | undefined {
  const groups = given.flatMap(([label, metric]) => (metric === undefined ? [] : [{ label, metric }]));
  if (groups.length === 0) return undefined;
  const bars = groups.map(({ label, metric }) => ({
    label,
    bars: PEERS.flatMap((peer) => {
      const figures = metric.peers[peer];
      return figures ? [{ peer, ...figures }] : [];
    }),
  }));
  const most = Math.max(...bars.flatMap((group) => group.bars.flatMap(({ median, p95 }) => [median, p95])));
  const height = bars.reduce((sum, group) => sum + ROW * (group.bars.length + 1) + 4, 0);
  return {
    title,
    height,
    draw(x, top) {
      const room = PANEL.width - PANEL.left - PANEL.right;
      const scale = (value: number) => (value / most) * room;
      let y = top;
      return bars.flatMap((group) => {
        const shapes = [renderText(x, y + 11, group.label, { size: 11, fill: FAINT })];
        y += ROW;
        for (const { peer, median, p95, samples } of group.bars) {
          const left = x + PANEL.left;
          const end = left + scale(Math.max(median, p95));
          shapes.push(
            renderText(left - 6, y + 11, peer, { size: 11, anchor: 'end' }),
            renderBar(left, y, scale(median), BAR, COLORS[peer]),
            renderLine(left + scale(p95), y, left + scale(p95), y + BAR, INK, 1.5),
            renderText(end + 5, y + 11, describeFigures(median, p95, samples), { size: 11 }),
          );
          y += ROW;
        }
        y += 4;
        return shapes;
      });
    },
  };
}

/** How many times as good as the Go client we are, whichever way better is, with the 95 % interval. */
function planRatios(title: string, metrics: readonly MetricSummary[]): Panel | undefined {
  const rows = metrics.flatMap(({ label, better, ratios: { go } }) => {
    if (go === undefined) return [];
    const turn = (ratio: number) => (better === 'lower' ? 1 / ratio : ratio);
    const ends = (go.interval ?? [go.value, go.value]).map(turn);
    return [{ label: label.trim(), value: turn(go.value), low: Math.min(...ends), high: Math.max(...ends) }];
  });
  if (rows.length === 0) return undefined;
  const least = Math.min(0.8, ...rows.map(({ low }) => low));
  const most = Math.max(1.2, ...rows.map(({ high }) => high));
  const left = 168;
  const room = PANEL.width - left - 44;
  const scale = (value: number) => left + ((value - least) / (most - least)) * room;
  return {
    title,
    height: rows.length * ROW + 6,
    draw: (x, top) => [
      renderLine(x + scale(1), top, x + scale(1), top + rows.length * ROW, FAINT),
      ...rows.flatMap(({ label, value, low, high }, index) => {
        const y = top + index * ROW + 8;
        const color = value >= 1 ? '#2d7d46' : '#b3261e';
        return [
          renderText(x + left - 12, y + 4, label, { size: 11, anchor: 'end' }),
          renderLine(x + scale(low), y, x + scale(high), y, color, 1.5),
          renderDot(x + scale(value), y, 3.5, color),
          renderText(x + PANEL.width - 34, y + 4, `${value.toFixed(2)}x`, { size: 11 }),
        ];
      }),
    ],
  };
}

/** One sample has no spread to show. */
function describeFigures(median: number, p95: number, samples: number): string {
  return samples > 1 ? `${formatValue(median)} (${formatValue(p95)})` : formatValue(median);
}

function formatValue(value: number): string {
  return value.toFixed(value >= 100 ? 0 : 1);
}
