/** Which time is seen, from which rows, kept in the address: pure; days are those of this browser's zone. */
import type { Span } from "../kit/gestures";

export const RANGES = ["1h", "24h", "7d", "30d", "1y", "all"] as const;
export type RangeName = (typeof RANGES)[number];
export type Period = "5minute" | "hour" | "day" | "week" | "month" | "year";
export const BARS = ["5minute", "hour", "day", "month", "year"] as const satisfies readonly Period[];

/** What the person has chosen; `range` in seconds after a zoom, `end` null: now. */
export interface Choice {
  entities: string[];
  range: RangeName | number;
  end: number | null;
  bars: Period | null;
  previous: boolean;
}

export const MOST_SERIES = 6;
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** More rows than this tell a screen nothing; a week of 5-minute rows is just less. */
const MOST_ROWS = 2100;
const LENGTHS: Record<Period, number> = { "5minute": HOUR / 12, hour: HOUR, day: DAY, week: 7 * DAY, month: 28 * DAY, year: 365 * DAY };
const STATES_MS = 2 * HOUR;
const LONGEST_S = 60 * 366 * 86_400;

/** Read a choice from the address; what is malformed is left out. */
export function read(query: URLSearchParams): Choice {
  const said = query.get("r") ?? "24h";
  const seconds = Number(said);
  const known = RANGES.find((one) => one === said);
  const end = Date.parse(query.get("t") ?? "");
  return {
    entities: [...new Set(query.getAll("e"))].slice(0, MOST_SERIES),
    range: known ?? (seconds >= 60 && seconds <= LONGEST_S ? Math.round(seconds) : "24h"),
    end: Number.isNaN(end) ? null : end,
    bars: BARS.find((one) => one === query.get("b")) ?? null,
    previous: query.get("p") === "1",
  };
}

/** Write a choice as the address has it. */
export function written(choice: Choice): [string, string][] {
  const said: [string, string][] = choice.entities.map((one) => ["e", one]);
  said.push(["r", String(choice.range)]);
  if (choice.end !== null) said.push(["t", new Date(choice.end).toISOString().replace(/\.\d+/, "")]);
  if (choice.bars) said.push(["b", choice.bars]);
  if (choice.previous) said.push(["p", "1"]);
  return said;
}

/** The start of the period that holds `time`. Weeks begin on Monday; hours are those of UTC, as rows are. */
export function startOf(time: number, period: Period): number {
  if (period === "5minute" || period === "hour") return time - (time % LENGTHS[period]);
  const day = new Date(time);
  day.setHours(0, 0, 0, 0);
  if (period === "week") day.setDate(day.getDate() - ((day.getDay() + 6) % 7));
  if (period === "month" || period === "year") day.setDate(1);
  if (period === "year") day.setMonth(0);
  return day.getTime();
}

/** The same time of day so many periods later; the 31st becomes the last day of a shorter month. */
export function shifted(time: number, period: Period, by: number): number {
  if (period === "5minute" || period === "hour") return time + by * LENGTHS[period];
  const at = new Date(time);
  if (period === "day" || period === "week") at.setDate(at.getDate() + by * (period === "week" ? 7 : 1));
  else {
    const day = at.getDate();
    at.setDate(1);
    at.setMonth(at.getMonth() + by * (period === "year" ? 12 : 1));
    at.setDate(Math.min(day, new Date(at.getFullYear(), at.getMonth() + 1, 0).getDate()));
  }
  return at.getTime();
}

const STEPS: Record<Exclude<RangeName, "all">, [Period, number]> = {
  "1h": ["hour", 1], "24h": ["day", 1], "7d": ["day", 7], "30d": ["day", 30], "1y": ["year", 1],
};

/** Move a time by so many times the chosen range. */
export function moved(time: number, range: Choice["range"], by: number): number {
  if (typeof range === "number") return time + by * range * 1000;
  if (range === "all") return time;
  const [period, many] = STEPS[range];
  return shifted(time, period, by * many);
}

/** The first period that begins at `time` or later. */
function nextStart(time: number, period: Period): number {
  const start = startOf(time, period);
  return start === time ? start : startOf(shifted(start, period, 1), period);
}

/** The span that a choice shows at `now`; `first` is when the oldest row began. A chosen range of bars shows whole ones. */
export function spanOf(choice: Choice, now: number, first: number | null, bars: Period | null): Span {
  const to = choice.end ?? now;
  const from = choice.range === "all" ? Math.min(first ?? shifted(to, "year", -1), to - HOUR) : moved(to, choice.range, -1);
  if (bars === null || typeof choice.range === "number") return { from, to };
  return { from: choice.range === "all" ? startOf(from, bars) : nextStart(from, bars), to: nextStart(to, bars) };
}

/** From which rows lines are drawn: `states` are kept for days only, as 5-minute rows are. */
export function linePeriod(span: Span, keptSince: number): Period | "states" {
  const long = span.to - span.from;
  const kept = span.from >= keptSince;
  if (kept && long <= STATES_MS) return "states";
  if (kept && long <= MOST_ROWS * LENGTHS["5minute"]) return "5minute";
  return (["hour", "day", "week"] as const).find((one) => long <= MOST_ROWS * LENGTHS[one]) ?? "month";
}

/** By what bars may be drawn: not too many, and not longer than what is seen. */
export function barPeriods(long: number): Period[] {
  return BARS.filter((one) => long <= 760 * LENGTHS[one] && long >= LENGTHS[one] * 0.99);
}

/** By what bars are drawn if nobody has chosen. */
export function barPeriod(long: number, wished: Period | null): Period {
  const allowed = barPeriods(long);
  if (wished && allowed.includes(wished)) return wished;
  return long <= 3 * HOUR ? "5minute" : long <= 3 * DAY ? "hour" : long <= 92 * DAY ? "day" : long <= 4 * 366 * DAY ? "month" : "year";
}

/** Which period is the best one asked for: the best day, in a short span the best hour. */
export function bestPeriod(long: number): Period {
  return long >= 2 * DAY ? "day" : "hour";
}

/** Seconds of a bucket of states, so that a span has about 360. */
export function bucketOf(long: number): number {
  return [1, 2, 5, 10, 15, 30, 60].find((one) => long / 1000 / one <= 400) ?? 60;
}

/** The span before this one, of the same calendar length. */
export function earlier(span: Span, range: Choice["range"]): Span {
  return { from: moved(span.from, range, -1), to: moved(span.to, range, -1) };
}

/** Keep a span within what there is: not later than `last`, not earlier than `first`. */
export function clamped(span: Span, first: number, last: number): Span {
  const long = Math.min(span.to - span.from, Math.max(last - first, 60_000));
  const to = Math.min(Math.max(span.to, first + long), last);
  return { from: to - long, to };
}

/** The choice that shows a span to which the person has moved or zoomed. */
export function chosen(choice: Choice, before: Span, span: Span, now: number): Choice {
  const long = span.to - span.from;
  const live = span.to >= now - long * 0.01;
  const same = Math.abs(long / (before.to - before.from) - 1) < 0.001;
  const range = same && choice.range !== "all" ? choice.range : Math.max(60, Math.round(long / 1000));
  return { ...choice, range, end: live ? null : span.to };
}
