export type MeterKind = "counter" | "gauge" | "histogram";

/** Labels as they are written between the braces: `status="failed"`; see `label`. */
export type Labels = string;

/** Sums of one process since it started, exported as Prometheus text. */
export type Meters<Name extends string> = {
  /** Adds to a counter. */
  add(name: Name, labels: Labels, by?: number): void;
  /** Sets a gauge. */
  set(name: Name, labels: Labels, value: number): void;
  /** Adds durations that were counted by bucket, and their sum, to a histogram. */
  observe(name: Name, counts: readonly number[], sum: number): void;
  /** Removes the values of a gauge before they are set anew. */
  clear(name: Name): void;
  /** The text format 0.0.4 of Prometheus. */
  render(): string;
};

type Histogram = { counts: number[]; sum: number };

/** Beyond this number, new values of labels that clients choose are counted as `other`. */
const MOST_SERIES = 300;

/**
 * `bounds` are the upper bounds of every histogram's buckets, in its unit; a last bucket has none. `openLabel` is the
 * label whose values clients choose, so their number is unlimited.
 */
export function createMeters<Name extends string>(
  table: Record<Name, { kind: MeterKind; help: string }>,
  prefix: string,
  bounds: readonly number[],
  openLabel: string,
): Meters<Name> {
  const chosen = new RegExp(`(^|,)${openLabel}="(?:[^"\\\\]|\\\\.)*"`);
  const values = new Map<Name, Map<Labels, number>>();
  const histograms = new Map<Name, Histogram>();
  for (const name of Object.keys(table) as Name[])
    if (table[name].kind === "histogram")
      histograms.set(name, { counts: [...bounds, 0].map(() => 0), sum: 0 });
    else values.set(name, new Map());

  function* lines(name: Name): Generator<string> {
    const full = prefix + name;
    yield `# HELP ${full} ${table[name].help}`;
    yield `# TYPE ${full} ${table[name].kind}`;
    for (const [labels, value] of values.get(name) ?? [])
      yield `${full}${labels === "" ? "" : `{${labels}}`} ${value}`;
    const histogram = histograms.get(name);
    if (!histogram) return;
    let below = 0;
    for (const [i, count] of histogram.counts.entries()) {
      below += count;
      yield `${full}_bucket{le="${bounds[i] ?? "+Inf"}"} ${below}`;
    }
    yield `${full}_sum ${histogram.sum}`;
    yield `${full}_count ${below}`;
  }

  function seriesOf(known: Map<Labels, number>, labels: Labels): Labels {
    if (known.size < MOST_SERIES || known.has(labels)) return labels;
    return labels.replace(chosen, `$1${openLabel}="other"`);
  }

  return {
    add(name, labels, by = 1) {
      const known = values.get(name);
      if (!known) return;
      const series = seriesOf(known, labels);
      known.set(series, (known.get(series) ?? 0) + by);
    },
    set(name, labels, value) {
      const known = values.get(name);
      known?.set(seriesOf(known, labels), value);
    },
    clear: (name) => values.get(name)?.clear(),
    observe(name, counts, sum) {
      const histogram = histograms.get(name);
      if (!histogram) return;
      histogram.sum += sum;
      for (const [i, count] of counts.entries())
        histogram.counts[i] = (histogram.counts[i] ?? 0) + count;
    },
    render() {
      const names = Object.keys(table) as Name[];
      return `${names.flatMap((name) => Array.from(lines(name))).join("\n")}\n`;
    },
  };
}

/** A label with its value escaped. */
export function label(name: string, value: string): Labels {
  return `${name}="${value.replace(/[\\"\n]/g, (c) => (c === "\n" ? "\\n" : `\\${c}`))}"`;
}
