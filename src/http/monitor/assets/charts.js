// Throughput, latency and cost over time, as plots of uPlot.

import { byId, el, setText, show } from "./dom.js";
import { duration, money, rate } from "./format.js";
import uPlot from "./uplot.js";

const HEIGHT = 150;

const CHARTS = [
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

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Plots that take `/metrics/tasks` as it comes. */
export function createCharts() {
  let latest;
  let plots = [];

  function build() {
    for (const { plot } of plots) plot.destroy();
    byId("charts").replaceChildren();
    plots = CHARTS.map((chart) => {
      const value = el("span");
      const box = el("div", { role: "img", "aria-label": `${chart.name} over time` });
      byId("charts").append(
        el("figure", null, el("figcaption", null, el("span", null, chart.name), value), box),
      );
      const plot = new uPlot(
        options(chart, box, (text) => setText(value, text)),
        undefined,
        box,
      );
      return { chart, plot, value, box };
    });
    if (latest) update(latest);
  }

  /** Says in place of plots why there are none, or nothing above them. */
  function note(text, isError = false) {
    const place = byId("charts-note");
    setText(place, text);
    place.classList.toggle("error", isError);
    show(place, text !== "");
    show(byId("charts"), text === "");
  }

  function update(metrics) {
    latest = metrics;
    const { completed, failed } = metrics.totals;
    note(completed + failed === 0 ? "No task ended in this period." : "");
    byId("charts").classList.remove("stale");
    const times = metrics.series.map(({ time }) => Date.parse(time) / 1000);
    for (const { chart, plot, value, box } of plots) {
      const lines = chart.series.map(({ of }) =>
        metrics.series.map((p) => of(p, metrics.step / 60)),
      );
      plot.setData([times, ...lines]);
      // The last step is under way.
      const at = Math.max(0, times.length - 2);
      const text = `${moment(plot, times[at])} · ${legend(
        chart,
        lines.map((line) => line[at]),
      )}`;
      setText(value, text);
      box.setAttribute("aria-label", `${chart.name}: ${text}`);
    }
  }

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", build);
  new ResizeObserver(() => {
    for (const { plot, box } of plots)
      if (box.clientWidth > 0 && plot.width !== box.clientWidth)
        plot.setSize({ width: box.clientWidth, height: HEIGHT });
  }).observe(byId("charts"));
  build();
  return {
    update,
    /** The plots stay while the server cannot be reached; the banner says so. */
    failed(error) {
      if (error.status === 429) return;
      if (error.status === 0 && latest) byId("charts").classList.add("stale");
      else note(error.message, true);
    },
  };
}

function legend(chart, values) {
  return chart.series
    .map(
      ({ name }, i) =>
        `${name} ${values[i] === null || values[i] === undefined ? "–" : chart.format(values[i])}`,
    )
    .join(" · ");
}

function options(chart, box, tell) {
  const axis = {
    stroke: color("--quiet"),
    grid: { stroke: color("--line"), width: 1 },
    ticks: { show: false },
    font: "12px system-ui",
  };
  const lengths = (labels) => (labels ?? []).map((label) => label.length);
  return {
    width: box.clientWidth || 320,
    height: HEIGHT,
    cursor: { y: false, points: { size: 6 } },
    legend: { show: false },
    scales: { y: { range: (_, __, max) => [0, max > 0 ? max * 1.1 : 1] } },
    axes: [
      {
        ...axis,
        space: 70,
        size: 28,
        values: (plot, ticks) => ticks.map((tick) => moment(plot, tick)),
      },
      {
        ...axis,
        size: (_, labels) => Math.max(58, 20 + 7 * Math.max(0, ...lengths(labels))),
        space: 36,
        values: (_, ticks) => ticks.map((tick) => chart.format(tick)),
      },
    ],
    series: [
      {},
      ...chart.series.map(({ name, color: variable }) => ({
        label: name,
        stroke: color(variable),
        fill: variable === "--accent" ? `${color(variable)}1c` : undefined,
        width: 1.5,
        // A lone point is no line.
        points: {
          show: (plot, i) => plot.data[i].filter((value) => value !== null).length < 3,
          size: 5,
        },
        spanGaps: true,
      })),
    ],
    hooks: {
      setCursor: [
        (plot) => {
          const i = plot.cursor.idx;
          if (i === null || i === undefined) return;
          const label = moment(plot, plot.data[0][i]);
          tell(
            `${label} · ${legend(
              chart,
              plot.data.slice(1).map((line) => line[i]),
            )}`,
          );
        },
      ],
    },
  };
}

const CLOCK = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const DAY = { month: "short", day: "numeric" };

/** A time of the day, or a day where the plot shows several. */
function moment(plot, seconds) {
  const [first = 0, last = 0] = [plot.data[0]?.[0], plot.data[0]?.at(-1)];
  const at = new Date(seconds * 1000);
  return last - first > 2 * 86_400
    ? at.toLocaleDateString("en", DAY)
    : at.toLocaleTimeString("en", CLOCK);
}
