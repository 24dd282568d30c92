import { useEffect, useRef, useState } from "preact/hooks";
import type uPlot from "uplot";

import type { Metrics } from "../api/wire.ts";
import { ends, now, tasks } from "../live/state.ts";
import { replaceQuery, route } from "../shell/router.ts";
import { Card, Failed, Loading } from "../ui/panel.tsx";
import { useResource } from "../ui/resource.ts";
import { CHARTS, type Chart, chartOptions, dataOf, legendAt } from "./chart-options.ts";

const PERIODS = ["hour", "day", "week", "month"] as const;
const HEIGHT = 150;

export function Charts() {
  const asked = route.value.query.get("period");
  const period = PERIODS.find((name) => name === asked) ?? "hour";
  const isMoving = (tasks.value?.running ?? 0) > 0;
  // Fetched again when a new step begins and something has ended, never by time alone.
  const step = Math.floor(now.value / 15_000);
  const revision = useRef({ ended: "", step: -1 });
  if (ends.value !== revision.current.ended && (step !== revision.current.step || !isMoving))
    revision.current = { ended: ends.value, step };
  // Not before the first state, which would look like a change and be followed by a second request.
  const path = tasks.value ? `/metrics/tasks?period=${period}` : null;
  const metrics = useResource<Metrics>(path, revision.current);
  const { data, error } = metrics;
  const isEmpty = data && data.totals.completed + data.totals.failed === 0;
  return (
    <Card
      id="charts"
      title="Over time"
      isWide
      note={
        <div class="tabs" role="group" aria-label="Period">
          {PERIODS.map((name) => (
            <button
              key={name}
              type="button"
              aria-pressed={name === period}
              onClick={() => replaceQuery({ period: name === "hour" ? "" : name })}
            >
              {name}
            </button>
          ))}
        </div>
      }
    >
      {error && <Failed error={error} />}
      {!data && !error && <Loading />}
      {isEmpty && <p class="empty">No task ended in this period.</p>}
      {data && !isEmpty && (
        <div class={error ? "charts stale" : "charts"}>
          {CHARTS.map((chart) => (
            <Plot key={chart.name} chart={chart} metrics={data} />
          ))}
        </div>
      )}
    </Card>
  );
}

function Plot({ chart, metrics }: { chart: Chart; metrics: Metrics }) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const [reported, setReported] = useState("");
  const [theme, setTheme] = useState(0);

  useEffect(() => {
    const query = matchMedia("(prefers-color-scheme: dark)");
    const change = () => setTheme((n) => n + 1);
    query.addEventListener("change", change);
    return () => query.removeEventListener("change", change);
  }, []);

  useEffect(() => {
    const place = box.current;
    if (!place) return undefined;
    let isGone = false;
    let observer: ResizeObserver | undefined;
    const make = async () => {
      const { default: UPlot } = await import("uplot");
      if (isGone) return;
      const options = {
        ...chartOptions(chart, setReported),
        width: place.clientWidth || 320,
        height: HEIGHT,
      };
      plot.current = new UPlot(options, dataOf(chart, metrics), place);
      observer = new ResizeObserver(() => {
        const width = place.clientWidth;
        if (width > 0 && plot.current?.width !== width)
          plot.current?.setSize({ width, height: HEIGHT });
      });
      observer.observe(place);
    };
    void make();
    return () => {
      isGone = true;
      observer?.disconnect();
      plot.current?.destroy();
      plot.current = undefined;
    };
  }, [theme]);

  useEffect(() => {
    plot.current?.setData(dataOf(chart, metrics));
    // The last step is not complete yet.
    setReported(legendAt(chart, metrics, Math.max(0, metrics.series.length - 2)));
  }, [metrics]);

  return (
    <figure>
      <figcaption>
        <span>{chart.name}</span>
        <span>{reported}</span>
      </figcaption>
      <div ref={box} role="img" aria-label={`${chart.name} over time: ${reported}`} />
    </figure>
  );
}
