/** Periods of an entity as a chart takes them: pure. */

/** One period, ms; `change` of a counter, else mean, min and max. Without `coverage` it is not known. */
export interface Row {
  start: number;
  end: number;
  mean?: number | null;
  min?: number | null;
  max?: number | null;
  change?: number | null;
  coverage?: number;
}

/** What a chart draws of one entity. Series of one unit share an axis. */
export interface Series {
  /** Name in the table and for who listens; empty: it is not listed (a series behind another one). */
  name: string;
  unit: string;
  /** `bars` draws `change`, the others `mean` with the band from min to max; `steps` holds each value. */
  look: "line" | "steps" | "bars";
  rows: readonly Row[];
  /** Colour and dashes, 1 to 6. */
  tone: number;
  decimals?: number;
  /** Behind the others: an earlier period, or what was before a change. */
  faint?: boolean;
}

/** Coverage below this is drawn as a period that is known in part. */
export const WHOLE = 0.98;

export function isPartly(row: Row): boolean {
  return row.coverage !== undefined && row.coverage < WHOLE;
}

/** The number of a row that is drawn. */
export function valueOf(row: Row, look: Series["look"]): number | null | undefined {
  return look === "bars" ? row.change : row.mean;
}

type Column = (number | null | undefined)[];

export interface Aligned {
  x: number[];
  /** Of each series: value, low and high at each x; null is a gap, undefined belongs to other series. */
  columns: { value: Column; low: Column; high: Column; rows: (Row | undefined)[] }[];
}

/** Where the row stands: in the middle of its period. */
function middle(row: Row): number {
  return (row.start + row.end) / 2;
}

/** Where a series has a gap: the middles of two rows that do not touch, half a row of slack. */
function gaps(rows: readonly Row[]): [number, number][] {
  const found: [number, number][] = [];
  rows.forEach((row, at) => {
    const before = rows[at - 1];
    if (before && row.start - before.end > (before.end - before.start) / 2) found.push([middle(before), middle(row)]);
  });
  return found;
}

/** Put series on one axis of time. */
export function aligned(series: readonly Series[]): Aligned {
  const times = new Set<number>();
  const holes = series.map((one) => gaps(one.rows));
  series.forEach((one, at) => {
    for (const row of one.rows) times.add(middle(row));
    for (const [from, to] of holes[at]!) times.add((from + to) / 2);
  });
  const x = [...times].sort((a, b) => a - b);
  const index = new Map(x.map((time, at) => [time, at]));
  const columns = series.map((one, at) => {
    const empty = () => new Array<number | null | undefined>(x.length).fill(undefined);
    const into = { value: empty(), low: empty(), high: empty(), rows: new Array<Row | undefined>(x.length).fill(undefined) };
    // No line goes over a gap, also where other series have values in it.
    for (const [from, to] of holes[at]!) for (let i = index.get(from)! + 1; x[i]! < to; i += 1) put(into, i, null, null, null);
    for (const row of one.rows) {
      const i = index.get(middle(row))!;
      put(into, i, valueOf(row, one.look) ?? null, row.min ?? null, row.max ?? null);
      into.rows[i] = row;
    }
    return into;
  });
  return { x, columns };
}

function put(into: { value: Column; low: Column; high: Column }, at: number, value: number | null, low: number | null, high: number | null): void {
  into.value[at] = value;
  into.low[at] = low;
  into.high[at] = high;
}

/** The row whose period holds `time`; undefined in a gap. Rows are in order of time. */
export function rowAt(rows: readonly Row[], time: number): Row | undefined {
  let low = 0;
  let high = rows.length - 1;
  while (low <= high) {
    const at = (low + high) >> 1;
    const row = rows[at]!;
    if (time < row.start) high = at - 1;
    else if (time >= row.end) low = at + 1;
    else return row;
  }
  return undefined;
}
