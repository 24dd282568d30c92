import type uPlot from "uplot";

import type { Metrics } from "../api/wire.ts";
import { dayOf, duration, minuteOf, money, rate } from "../ui/format.ts";

type Point = Metrics["series"][number];
export type Chart = {
  name: string;
  format: (value: number) => string;
  series: { name: string; color: string; of: (point: Point, minutes: number) => number | null }[];
};

export const CHARTS: Chart[] = [
  {
    name: "Tasks a minute",
    format: rate,
    series: [
      { name: "completed", color: "--accent", of: (p, minutes) => p.completed / minutes },
      { name: "failed", color: "--bad", of: (p, minutes) => p.failed / minutes },
    ],
  },
  {
    name: "Execution time",
    format: duration,
    series: [
      { name: "p50", color: "--accent", of: (p) => p.latency.p50 },
      { name: "p95", color: "--warn", of: (p) => p.latency.p95 },
    ],
  },
  {
    name: "Cost",
    format: money,
    series: [{ name: "per step", color: "--accent", of: (p) => p.costUsd }],
  },
];

const color = (name: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export function dataOf(chart: Chart, metrics: Metrics): uPlot.AlignedData {
  const times = metrics.series.map(({ time }) => Date.parse(time) / 1000);
  const lines = chart.series.map(({ of }) => metrics.series.map((p) => of(p, metrics.step / 60)));
  return [times, ...lines];
}

export function legendAt(chart: Chart, metrics: Metrics, at: number): string {
  const [times, ...lines] = dataOf(chart, metrics);
  return [
    moment(times, times[at] ?? 0),
    ...legend(
      chart,
      lines.map((line) => line[at]),
    ),
  ].join(" · ");
}

function legend(chart: Chart, values: (number | null | undefined)[]): string[] {
  return chart.series.map(({ name }, i) => {
    const value = values[i];
    return `${name} ${value === null || value === undefined ? "–" : chart.format(value)}`;
  });
}

export function chartOptions(
  chart: Chart,
  report: (text: string) => void,
): Omit<uPlot.Options, "width" | "height"> {
  const axis = {
    stroke: color("--quiet"),
    grid: { stroke: color("--line"), width: 1 },
    ticks: { show: false },
    font: "12px system-ui",
  };
  return {
    cursor: { y: false, points: { size: 6 } },
    legend: { show: false },
    scales: { y: { range: (_plot, _min, max) => [0, max > 0 ? max * 1.1 : 1] } },
    axes: [
      {
        ...axis,
        space: 70,
        size: 28,
        values: (plot, ticks) => ticks.map((tick) => moment(plot.data[0], tick)),
      },
      {
        ...axis,
        size: (_plot, labels) =>
          Math.max(58, 20 + 7 * Math.max(0, ...(labels ?? []).map((l) => l.length))),
        space: 36,
        values: (_plot, ticks) => ticks.map((tick) => chart.format(tick)),
      },
    ],
    series: [{}, ...chart.series.map(({ name, color: variable }) => line(name, variable))],
    hooks: {
      setCursor: [
        (plot) => {
          const i = plot.cursor.idx;
          if (i === null || i === undefined) return;
          const values = plot.data.slice(1).map((line) => line[i]);
          report(
            [moment(plot.data[0], plot.data[0][i] ?? 0), ...legend(chart, values)].join(" · "),
          );
        },
      ],
    },
  };
}

function line(name: string, variable: string): uPlot.Series {
  return {
    label: name,
    stroke: color(variable),
    ...(variable === "--accent" ? { fill: `${color(variable)}1c` } : {}),
    width: 1.5,
    // A single point would not be visible as a line.
    points: {
      show: (plot, i) => [...(plot.data[i] ?? [])].filter((value) => value !== null).length < 3,
      size: 5,
    },
    spanGaps: true,
  };
}

/** A time of the day, or a day if the plot shows several. */
function moment(times: ArrayLike<number>, seconds: number): string {
  const [first = 0, last = 0] = [times[0], times[times.length - 1]];
  return (last - first > 2 * 86_400 ? dayOf : minuteOf)(new Date(seconds * 1000));
}
