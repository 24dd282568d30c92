/*
 * Draws `examples/pacing.svg` from a real run: 600 tasks against a provider with limits of 1,200 requests and 300,000
 * tokens a minute, sent by the task runner, which does not know the limits beforehand, and by the plain SDK loop.
 * `bun test/bench/pacing-plot.ts`
 */
import { idealSeconds, type Received, recordOurs, recordPeer, TASKS } from "./pacing.bench.ts";

const WIDTH = 760;
const HEIGHT = 380;
const LEFT = 56;
const RIGHT = 24;
const TOP = 56;
const BOTTOM = 48;

type Line = { name: string; colour: string; dash?: string; points: [number, number][] };

const ours = await recordOurs();
const loop = await recordPeer("plain");
const lines: Line[] = [
  {
    name: "what the limits allow",
    colour: "#94a3b8",
    dash: "6 4",
    points: [
      [0, TASKS / 5],
      [idealSeconds(TASKS) - 0.5, TASKS],
    ],
  },
  { name: "task runner: let through", colour: "#2563eb", points: cumulative(ours, 200) },
  { name: "SDK loop, 64 at once: let through", colour: "#d97706", points: cumulative(loop, 200) },
  { name: "SDK loop: refused with 429", colour: "#dc2626", points: cumulative(loop, 429) },
];
await Bun.write("examples/pacing.svg", draw(lines));
console.log(`examples/pacing.svg: ${ours.length} and ${loop.length} requests`);

/** The cumulative number of requests with this status over time, in seconds since the first request. */
function cumulative(log: Received[], status: number): [number, number][] {
  const start = log[0]?.at ?? 0;
  const points: [number, number][] = [[0, 0]];
  for (const { at } of log.filter((entry) => entry.status === status))
    points.push([(at - start) / 1000, points.length]);
  return points;
}

function draw(all: Line[]): string {
  const most = Math.max(...all.flatMap(({ points }) => points.map(([, y]) => y)));
  const longest = Math.max(...all.flatMap(({ points }) => points.map(([x]) => x)));
  const top = Math.ceil(most / 100) * 100;
  const end = Math.ceil(longest / 5) * 5;
  const x = (seconds: number) => LEFT + (seconds / end) * (WIDTH - LEFT - RIGHT);
  const y = (count: number) => HEIGHT - BOTTOM - (count / top) * (HEIGHT - TOP - BOTTOM);
  const at = (value: number) => value.toFixed(1);
  const steps = (last: number, step: number) =>
    Array.from({ length: Math.floor(last / step) + 1 }, (_, i) => i * step);
  const grid = [
    ...steps(top, 100).map(
      (n) =>
        `<path d="M${LEFT} ${at(y(n))}H${WIDTH - RIGHT}" stroke="#e2e8f0"/>` +
        `<text x="${LEFT - 8}" y="${at(y(n) + 4)}" text-anchor="end">${n}</text>`,
    ),
    ...steps(end, 5).map(
      (s) => `<text x="${at(x(s))}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${s} s</text>`,
    ),
  ];
  const paths = all.map(({ colour, dash, points }) => {
    const d = points.map(([s, n]) => `${at(x(s))} ${at(y(n))}`).join("L");
    const style = dash === undefined ? "" : ` stroke-dasharray="${dash}"`;
    return `<path d="M${d}" fill="none" stroke="${colour}" stroke-width="2"${style}/>`;
  });
  const legend = all.map(({ name, colour }, i) => {
    const left = LEFT + (i % 2) * 330;
    const row = 18 + Math.floor(i / 2) * 18;
    return `<path d="M${left} ${row - 4}h22" stroke="${colour}" stroke-width="3"/><text x="${left + 30}" y="${row}">${name}</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="system-ui, sans-serif" font-size="12" fill="#334155">
<title>Requests over time under a limit of 1,200 requests and 300,000 tokens a minute</title>
<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>
${[...grid, ...paths, ...legend].join("\n")}
</svg>
`;
}
