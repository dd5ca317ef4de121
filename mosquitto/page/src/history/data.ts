/** What answers of the statistician mean to a chart: pure. */
import type { Entity } from "../contract/types";
import type { Span } from "../kit/gestures";
import type { Row } from "../kit/rows";

/** How an entity is shown: counters as bars of their change, numbers as lines, words as a band of states. */
export type Look = "line" | "bars" | "band";

export function lookOf(entity: Entity): Look {
  if (entity.state_class === "total" || entity.state_class === "total_increasing") return "bars";
  return entity.boolean || entity.options || (entity.unit === undefined && entity.state_class === undefined) ? "band" : "line";
}

/** A row of the verb `statistics`. */
export interface Answered {
  start: string;
  end: string;
  mean?: number | null;
  min?: number | null;
  max?: number | null;
  min_at?: string | null;
  max_at?: string | null;
  change?: number | null;
  coverage?: number;
}

/** The numbers of a whole span. */
export interface Summary {
  mean?: number | null;
  min?: number | null;
  max?: number | null;
  minAt?: number;
  maxAt?: number;
  change?: number | null;
  coverage?: number;
  /** The period with the largest change. */
  best?: Row;
}

export function rowOf(said: Answered): Row {
  const { mean, min, max, change, coverage } = said;
  return { start: Date.parse(said.start), end: Date.parse(said.end), mean, min, max, change, coverage };
}

/** Rows of the verb `history` with `points`; unknown ones are left out, so that they are a gap. */
export function rowsOfPoints(said: readonly (readonly [string, number | null, number | null, number | null])[], bucket: number): Row[] {
  return said.flatMap(([start, mean, min, max]) => {
    const at = Date.parse(start);
    return mean === null ? [] : [{ start: at, end: at + bucket, mean, min, max }];
  });
}

export function summaryOf(said: Answered, best?: Row): Summary {
  const { mean, min, max, change, coverage } = said;
  const time = (text?: string | null) => (text ? Date.parse(text) : undefined);
  return { mean, min, max, change, coverage, minAt: time(said.min_at), maxAt: time(said.max_at), best };
}

/** The numbers of rows that no statistic tells: those of states. Each row weighs as long as it is. */
export function summaryOfRows(rows: readonly Row[], span: Span): Summary {
  let [weight, sum] = [0, 0];
  const found: Summary = { mean: null, min: null, max: null };
  for (const row of rows) {
    if (typeof row.mean !== "number") continue;
    const long = row.end - row.start;
    weight += long;
    sum += row.mean * long;
    const [low, high] = [row.min ?? row.mean, row.max ?? row.mean];
    if (typeof found.min !== "number" || low < found.min) [found.min, found.minAt] = [low, row.start];
    if (typeof found.max !== "number" || high > found.max) [found.max, found.maxAt] = [high, row.start];
  }
  if (weight > 0) found.mean = sum / weight;
  return { ...found, coverage: Math.min(weight / Math.max(span.to - span.from, 1), 1) };
}

/** Put newer rows into those that are known, and forget what lies before `from`. */
export function merged(known: readonly Row[], newer: readonly Row[], since: number, from: number): Row[] {
  return [...known.filter((row) => row.start < since && row.end > from), ...newer.filter((row) => row.end > from)];
}

/** A state from `start` to `end`, ms; null is unknown. */
export interface State {
  start: number;
  end: number;
  value: string | null;
}

/** States as they came, as spans; what was in force at the beginning of `span` counts from there. */
export function statesOf(rows: readonly (readonly [number, string | number | null])[], span: Span): State[] {
  const found: State[] = [];
  for (const [time, said] of rows) {
    const value = said === null ? null : String(said);
    const before = found.at(-1);
    if (before?.value === value) continue;
    if (before) before.end = time;
    found.push({ start: time, end: span.to, value });
  }
  return found
    .map((one) => ({ ...one, start: Math.max(one.start, span.from), end: Math.min(one.end, span.to) }))
    .filter((one) => one.end > one.start);
}

/** How long each state lasted, ms, the longest first; unknown time is left out. */
export function lasted(states: readonly State[]): [string, number][] {
  const found = new Map<string, number>();
  for (const { value, start, end } of states) if (value !== null) found.set(value, (found.get(value) ?? 0) + end - start);
  return [...found].sort((a, b) => b[1] - a[1]);
}

/** What is told of one entity in a table: its name, unit, and rows or states. */
export interface Told {
  name: string;
  unit: string;
  look: Look;
  rows: readonly Row[];
  states: readonly State[];
}

/** A time as spreadsheets and people read it, with the offset of this browser's zone. */
export function localTime(time: number): string {
  const at = new Date(time);
  const two = (n: number) => String(n).padStart(2, "0");
  const offset = -at.getTimezoneOffset();
  const zone = `${offset < 0 ? "-" : "+"}${two(Math.floor(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`;
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}T${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}${zone}`;
}

/** A cell of a CSV file; a text that a spreadsheet would compute is not computed. */
export function cell(value: string | number | null | undefined): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

const COLUMNS: Record<Look, (keyof Row | "value")[]> = { line: ["mean", "min", "max", "coverage"], bars: ["change", "coverage"], band: ["value"] };

export interface Table {
  head: string[];
  lines: { start: number; end: number; cells: (string | number | null | undefined)[] }[];
}

/** What is seen as a table: one line a period, one group of columns an entity. */
export function tabled(told: readonly Told[]): Table {
  const head = told.flatMap((one) => COLUMNS[one.look].map((column) => `${one.name} ${column}${one.unit && column !== "coverage" ? ` (${one.unit})` : ""}`));
  const lines = new Map<string, Table["lines"][number]>();
  let offset = 0;
  for (const one of told) {
    const columns = COLUMNS[one.look];
    for (const row of one.look === "band" ? one.states : one.rows) {
      const key = `${row.start} ${row.end}`;
      const line = lines.get(key) ?? { start: row.start, end: row.end, cells: new Array<undefined>(head.length).fill(undefined) };
      lines.set(key, line);
      columns.forEach((column, at) => (line.cells[offset + at] = (row as unknown as Record<string, string | number | null | undefined>)[column]));
    }
    offset += columns.length;
  }
  return { head, lines: [...lines.values()].sort((a, b) => a.start - b.start || a.end - b.end) };
}

/** What is seen as CSV (RFC 4180); times have the offset of this browser's zone, numbers a point. */
export function csv(told: readonly Told[]): string {
  const { head, lines } = tabled(told);
  const body = lines.map(({ start, end, cells }) => [localTime(start), localTime(end), ...cells]);
  return [["start", "end", ...head], ...body].map((line) => line.map(cell).join(",")).join("\r\n") + "\r\n";
}
