import { models, now, queue, rates, system, tasks, usage } from "../live/state.ts";
import { count, duration, money, rate } from "../ui/format.ts";
import { Loading } from "../ui/panel.tsx";

type Tile = { name: string; value: string; unit?: string };

export function Tiles() {
  const tiles = figures();
  return (
    <div id="tiles" class="tiles">
      {tiles ? (
        <dl>
          {tiles.map(({ name, value, unit }) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>
                {value} <span class="unit">{unit}</span>
              </dd>
            </div>
          ))}
        </dl>
      ) : (
        <Loading />
      )}
    </div>
  );
}

function figures(): Tile[] | undefined {
  const t = tasks.value;
  const [q, r, s, u] = [queue.value, rates.value, system.value, usage.value];
  if (!t || !q || !r || !s || !u) return undefined;
  const ended = t.completed + t.failed;
  const day = Object.values(models.value ?? {});
  const sum = (pick: (one: (typeof day)[number]) => number) =>
    day.reduce((all, one) => all + pick(one), 0);
  const oldest = q.oldestAt ? Math.max(0, (now.value - Date.parse(q.oldestAt)) / 1000) : 0;
  return [
    { name: "Running", value: count(t.running), unit: "calls in flight" },
    {
      name: "Waiting",
      value: count(q.depth),
      unit: oldest >= 1 ? `oldest for ${duration(oldest)}` : "tasks",
    },
    {
      name: "Pace",
      value: `${rate(r.endedPerMinute)}/min`,
      unit: `5 min: ${rate(r.completedPerMinute)}/min`,
    },
    { name: "Done", value: count(t.completed), unit: `of ${count(t.total)} tasks` },
    {
      name: "Failed",
      value: count(t.failed),
      unit: ended === 0 ? "no task has ended yet" : `${percent(t.failed / ended)} of ended`,
    },
    {
      name: "Last 24 hours",
      value: money(sum((one) => one.costUsd)),
      unit: `for ${count(sum((one) => one.completed + one.failed))} tasks`,
    },
    {
      name: "Total cost",
      value: money(u.costUsd),
      unit: `${count(u.promptTokens + u.completionTokens)} tokens`,
    },
    {
      name: "Server",
      value: percent(s.cpuUsage),
      unit: `CPU, ${percent(s.memoryUsage)} memory`,
    },
  ];
}

function percent(share: number): string {
  if (share > 0 && share < 0.01) return "<1 %";
  return `${Math.round(share * 100)} %`;
}
