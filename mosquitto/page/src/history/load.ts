/** Asks the statistician for what a chart shows, and for what is new of it. */
import { type Signal, signal } from "@preact/signals";
import { ask, AskError } from "../contract/requests";
import type { Span } from "../kit/gestures";
import type { Row } from "../kit/rows";
import { type Answered, type Look, merged, rowOf, rowsOfPoints, type Summary, summaryOf, summaryOfRows } from "./data";
import { bestPeriod, bucketOf, earlier, moved, type Choice, type Period, startOf } from "./ranges";

/** What is asked for: the entities with how they are shown, and from which rows. */
export interface Asked {
  looks: ReadonlyMap<string, Look>;
  span: Span;
  range: Choice["range"];
  lines: Period | "states";
  bars: Period;
  previous: boolean;
  /** When the oldest row began, ms, if that is known: what was before is no gap. */
  first: number | null;
  /** Entities without statistics: their lines come from states as long as those are kept. */
  stateOnly: ReadonlySet<string>;
}

/** What is known of one entity. */
export interface Shown {
  look: Look;
  period: Period | "states";
  unit: string | null;
  rows: readonly Row[];
  /** The rows of the span before, moved to this one. */
  before: readonly Row[];
  /** States as they came: time, ms, and value. */
  states: readonly (readonly [number, string | number | null])[];
  summary: Summary | null;
  error: unknown;
}

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone as string | undefined;
const inZone = zone ? { time_zone: zone } : {};
const iso = (time: number) => new Date(time).toISOString();
const TYPES = { line: ["mean", "min", "max", "coverage"], bars: ["change", "coverage"], band: [] } as const;
/** Of states more than this are not drawn; a switch that clicks every minute makes 1,440 a day. */
const MOST_STATES = 5000;
const MOST_POINTS = 720;
const HOUR = 3_600_000;
/** How far back to look for the state that was in force when the span began, ms. */
const LOOK_BACK = [HOUR, 24 * HOUR, 240 * HOUR];

interface StatisticsAnswer {
  units: Record<string, string | null>;
  rows: Record<string, Answered[]>;
}
interface HistoryAnswer<Rows> {
  unit: string | null;
  rows: Rows;
}

export class Loader {
  readonly shown: Signal<ReadonlyMap<string, Shown>> = signal(new Map());
  readonly busy = signal(true);
  private asked: Asked | null = null;
  /** Answers to what was asked before do not count. */
  private turn = 0;

  /** Ask for everything anew; what is shown stays until it comes. Never rejects: errors are shown. */
  async load(asked: Asked, now: number): Promise<void> {
    this.asked = asked;
    const turn = (this.turn += 1);
    const names = [...asked.looks.keys()];
    this.busy.value = true;
    this.shown.value = new Map([...this.shown.value].filter(([name]) => asked.looks.has(name)));
    for (const step of [this.rows, this.numbers]) {
      await Promise.all(names.map((name) => this.tried(name, turn, () => step.call(this, name, asked, turn, now))));
      if (turn !== this.turn) return;
      this.busy.value = false;
    }
  }

  /** Ask for the rows since `since`, ms: they are new, or were corrected. The span may have moved. */
  async refresh(names: readonly string[], since: number, span: Span, now: number): Promise<void> {
    const { asked, turn } = this;
    if (!asked) return;
    this.asked = { ...asked, span };
    const all = names.filter((name) => asked.looks.has(name) && this.shown.value.get(name)?.error === null);
    await Promise.all(all.map((name) => this.tried(name, turn, () => this.newer(name, this.asked!, since, turn, now))));
  }

  /** Forget all, and take no more answers. */
  stop(): void {
    this.turn += 1;
    this.shown.value = new Map();
  }

  private put(name: string, turn: number, change: Partial<Shown>): void {
    if (turn !== this.turn) return;
    const before = this.shown.value.get(name) ?? NOTHING;
    this.shown.value = new Map(this.shown.value).set(name, { ...before, ...change });
  }

  private periodOf(name: string, asked: Asked): Period | "states" {
    const look = asked.looks.get(name)!;
    if (look === "band" || asked.stateOnly.has(name)) return "states";
    return look === "bars" ? asked.bars : asked.lines;
  }

  /** Do what asks for one entity; an error is shown in its place. */
  private async tried(name: string, turn: number, what: () => Promise<void>): Promise<void> {
    try {
      await what();
    } catch (error) {
      // A lost connection is told on top of the page, and everything is asked anew after it.
      if (!(error instanceof AskError && error.code === "link")) this.put(name, turn, { error });
    }
  }

  private async rows(name: string, asked: Asked, turn: number, now: number): Promise<void> {
    const look = asked.looks.get(name)!;
    const period = this.periodOf(name, asked);
    if (look === "band") return this.put(name, turn, { ...NOTHING, look, period, states: await states(name, asked.span) });
    const { unit, rows } = await rowsOf(name, look, period, asked.span, now);
    this.put(name, turn, { ...NOTHING, look, period, unit, rows, summary: period === "states" ? summaryOfRows(rows, asked.span) : null });
  }

  /** The rows of the span before, and the numbers of the whole span. */
  private async numbers(name: string, asked: Asked, turn: number, now: number): Promise<void> {
    const { look, period, error } = this.shown.value.get(name) ?? NOTHING;
    if (look === "band" || error !== null) return;
    if (asked.previous) this.put(name, turn, { before: await before(name, look, period, asked, now) });
    if (period !== "states") this.put(name, turn, { summary: await summary(name, look, asked, now) });
  }

  private async newer(name: string, asked: Asked, since: number, turn: number, now: number): Promise<void> {
    const { look, period, rows } = this.shown.value.get(name)!;
    if (look === "band") return;
    const from = Math.max(period === "states" ? since : startOf(since, period), asked.span.from);
    const { rows: news } = await rowsOf(name, look, period, { from, to: asked.span.to }, now);
    const all = merged(rows, news, news[0]?.start ?? Number.POSITIVE_INFINITY, asked.span.from);
    this.put(name, turn, { rows: all, ...(period === "states" ? { summary: summaryOfRows(all, asked.span) } : {}) });
    if (period !== "states") this.put(name, turn, { summary: await summary(name, look, asked, now) });
  }

  /** Add a state that was heard now. */
  heard(name: string, time: number, value: string | number | null): void {
    const one = this.shown.value.get(name);
    const last = one?.states.at(-1);
    if (!one || one.look !== "band" || (last && (last[0] >= time || last[1] === value))) return;
    const states = [...one.states.slice(-MOST_STATES), [time, value] as const];
    this.put(name, this.turn, { states });
  }
}

/** Nothing is known yet. */
export const NOTHING: Shown = { look: "line", period: "states", unit: null, rows: [], before: [], states: [], summary: null, error: null };

/** The rows of an entity in a span. Rejects with AskError. */
async function rowsOf(name: string, look: Look, period: Period | "states", span: Span, now: number): Promise<{ unit: string | null; rows: Row[] }> {
  if (period === "states") return points(name, span, now);
  const answer = await ask<StatisticsAnswer>("statistician", "statistics", {
    entities: [name], period, start: iso(startOf(span.from, period)), end: iso(Math.max(span.to, span.from + 1)), types: TYPES[look], ...inZone,
  });
  const rows = (answer.rows[name] ?? []).map(rowOf);
  if (look === "bars" && period === "hour" && span.to > now) rows.push(...(await runningHour(name, now, rows.at(-1)?.start)));
  return { unit: answer.units[name] ?? null, rows };
}

/** The bar of the hour that is not over: it has no row of its own yet. */
async function runningHour(name: string, now: number, last = 0): Promise<Row[]> {
  const start = startOf(now, "hour");
  if (last >= start || now - start < 1000) return [];
  const said = await ask<Answered>("statistician", "statistic", { entity: name, fixed_period: { start: iso(start), end: iso(now) }, types: TYPES.bars });
  return typeof said.change === "number" ? [{ ...rowOf(said), start, end: start + HOUR }] : [];
}

async function points(name: string, span: Span, now: number): Promise<{ unit: string | null; rows: Row[] }> {
  const long = span.to - span.from;
  const bucket = Math.max(bucketOf(long) * 1000, Math.ceil(long / MOST_POINTS / 60_000) * 60_000 * Number(long > 2 * HOUR));
  const start = span.from - (span.from % bucket);
  const end = Math.min(span.to, now) - (Math.min(span.to, now) % bucket);
  if (end <= start) return { unit: null, rows: [] };
  const answer = await ask<HistoryAnswer<[string, number | null, number | null, number | null][]>>("statistician", "history", {
    entity: name, start: iso(start), end: iso(end), points: Math.round((end - start) / bucket),
  });
  return { unit: answer.unit, rows: rowsOfPoints(answer.rows, bucket) };
}

/** The span before, moved to this one in days of the calendar. */
async function before(name: string, look: Look, period: Period | "states", asked: Asked, now: number): Promise<Row[]> {
  if (asked.range === "all") return [];
  const { rows } = await rowsOf(name, look, period, earlier(asked.span, asked.range), now);
  const later = (time: number) => moved(time, asked.range, 1);
  return rows.map((row) => ({ ...row, start: later(row.start), end: later(row.end) }));
}

async function summary(name: string, look: Look, { span, first }: Asked, now: number): Promise<Summary> {
  const range = { start: iso(Math.min(Math.max(span.from, first ?? 0), span.to)), end: iso(Math.max(Math.min(span.to, now), span.from + 1)) };
  const types = look === "bars" ? ["change", "coverage"] : ["mean", "min", "max", "min_at", "max_at", "coverage"];
  const said = await ask<Answered>("statistician", "statistic", { entity: name, fixed_period: range, types });
  if (look !== "bars") return summaryOf(said);
  const best = await ask<StatisticsAnswer>("statistician", "statistics", {
    entities: [name], period: bestPeriod(span.to - span.from), ...range, types: ["change"], order_by: "change", limit: 1, above: 0, ...inZone,
  });
  const row = best.rows[name]?.[0];
  return summaryOf(said, row ? rowOf(row) : undefined);
}

type StateRow = [string, string | number | null];

/** The states of a span, and the one that was in force when it began. */
export async function states(name: string, { from, to }: Span): Promise<[number, string | number | null][]> {
  const between = async (start: number, end: number) => {
    const answer = await ask<HistoryAnswer<StateRow[]>>("statistician", "history", { entity: name, start: iso(start), end: iso(end), limit: MOST_STATES });
    return answer.rows.map(([time, value]): [number, string | number | null] => [Date.parse(time), value]);
  };
  const found = await between(from, to);
  // What follows the last one that came is not known.
  if (found.length === MOST_STATES) found.push([found.at(-1)![0] + 1, null]);
  for (const back of LOOK_BACK) {
    const earlier = await between(from - back, from);
    if (earlier.length > 0 && earlier.length < MOST_STATES) return [earlier.at(-1)!, ...found];
  }
  return found;
}

/** When the oldest row of these entities began, ms; null if there is none. */
export async function firstRow(names: readonly string[]): Promise<number | null> {
  let first: number | null = null;
  for (const name of names) {
    try {
      const said = await ask<Answered>("statistician", "statistic", { entity: name, fixed_period: {}, types: ["coverage"] });
      const [start, end] = [Date.parse(said.start), Date.parse(said.end)];
      if (end - start > HOUR && (first === null || start < first)) first = start;
    } catch {
      // Its own chart says what is wrong with it.
    }
  }
  return first;
}

/** Since when states and 5-minute rows are kept, ms. Rejects with AskError. */
export async function keptDays(): Promise<number> {
  return (await ask<{ keep_days: number }>("statistician", "info")).keep_days;
}

