/** The corrections of one entity, each with the chart of what it would do. */
import { houseNow } from "../contract/house";
import { ask } from "../contract/requests";
import { type Answered, rowOf } from "../history/data";
import { states as storedStates } from "../history/load";
import type { Compared } from "../kit/compare";
import type { Span } from "../kit/gestures";
import type { Row } from "../kit/rows";
import type { Change } from "../kit/steps";
import { number } from "../text/format";
import { t } from "../text/words";
import { fix } from "./fix";
import { around, comparedStates, comparedSums, including, type State, without } from "./preview";
import { at } from "./say";

const HOUR = 3_600_000;
/** Hours before and after an adjustment that are drawn. */
const AROUND_HOURS = 12;
/** Days of which a conversion is drawn. */
const CONVERTED_DAYS = 30;

/** What is known of an entity's statistics (docs/requests.md, metadata). */
export interface Known {
  entity: string;
  name: string | null;
  unit: string | null;
  unit_class?: string | null;
  has_mean: boolean;
  has_sum: boolean;
}

interface StatisticsAnswer {
  units: Record<string, string | null>;
  rows: Record<string, Answered[]>;
}

export function iso(ms: number): string {
  return new Date(ms).toISOString();
}

/** The states of a span as numbers; null if they are words. */
async function numbers(entity: string, span: Span): Promise<State[] | null> {
  const found = await storedStates(entity, span);
  const known = found.filter((one): one is [number, number | null] => typeof one[1] !== "string");
  return known.length === found.length ? known : null;
}

async function statesCompared(entity: string, unit: string, touched: Span, after: (states: State[]) => State[]): Promise<Compared | null> {
  const span = around(touched, houseNow());
  const found = await numbers(entity, span);
  return found && comparedStates(found, after(found), span, unit);
}

/** Delete the states of a span. */
export function deleteStates({ entity, unit }: Known, gone: Span): Change {
  const one = gone.to - gone.from <= 1;
  return fix({
    title: t("delete_values"),
    verb: "delete_states",
    parameters: one ? { entity, ts: iso(gone.from) } : { entity, start: iso(gone.from), end: iso(gone.to) },
    text: one ? t("would_delete_one", { time: at(gone.from) }) : t("would_delete", { from: at(gone.from), to: at(gone.to) }),
    compared: () => statesCompared(entity, unit ?? "", gone, (states) => without(states, gone)),
  });
}

/** Let a reading count that was left out. */
export function acceptReading({ entity, unit }: Known, time: number, value: number): Change {
  return fix({
    title: t("let_count"),
    verb: "accept_reading",
    parameters: { entity, ts: iso(time) },
    text: t("would_accept", { value: `${number(value, 2)} ${unit ?? ""}`.trim(), time: at(time) }),
    compared: () => statesCompared(entity, unit ?? "", { from: time, to: time + 1 }, (states) => including(states, [time, value])),
  });
}

async function hours(entity: string, span: Span): Promise<Row[]> {
  const range = { start: iso(span.from - (span.from % HOUR)), end: iso(span.to) };
  const said = await ask<StatisticsAnswer>("statistician", "statistics", { entities: [entity], period: "hour", ...range, types: ["change"] });
  return (said.rows[entity] ?? []).map(rowOf);
}

/** What an adjustment does to the hours around it. Rejects with AskError. */
export async function sumsCompared(entity: string, unit: string, start: number, amount: number): Promise<Compared> {
  const span = { from: start - AROUND_HOURS * HOUR, to: Math.min(start + AROUND_HOURS * HOUR, Math.max(houseNow(), start + HOUR)) };
  return comparedSums(await hours(entity, span), start, amount, span, unit);
}

/** Add to the sums from a time on. */
export function adjustSum({ entity, unit }: Known, start: number, amount: number): Change {
  const sign = amount < 0 ? "−" : "+";
  return fix({
    title: t("adjust_sum"),
    verb: "adjust_sum",
    parameters: { entity, start: iso(start), adjustment: amount },
    text: t("would_adjust", { amount: `${sign}${number(Math.abs(amount), 3)} ${unit ?? ""}`.trim(), time: at(start) }),
    compared: () => sumsCompared(entity, unit ?? "", start, amount),
  });
}

/** Convert all rows to another unit. */
export function changeUnit(known: Known, unit: string): Change {
  const { entity } = known;
  return fix({
    title: t("change_unit"),
    verb: "change_unit",
    parameters: { entity, unit, ...(known.unit ? { old_unit: known.unit } : {}) },
    text: t("would_convert", { from: known.unit ?? "–", to: unit }),
    compared: () => converted(known, unit),
  });
}

/** The last days in both units: the statistician converts them for an answer as it would for good. */
async function converted({ entity, unit, unit_class, has_sum }: Known, to: string): Promise<Compared | null> {
  if (!unit_class) return null;
  const now = houseNow();
  const span = { from: now - CONVERTED_DAYS * 24 * HOUR, to: now };
  const asked = { entities: [entity], period: "day", start: iso(span.from), end: iso(span.to) };
  const [before, after] = await Promise.all([{}, { units: { [unit_class]: to } }].map(async (units) => {
    const said = await ask<StatisticsAnswer>("statistician", "statistics", { ...asked, ...units });
    return (said.rows[entity] ?? []).map(rowOf);
  }));
  return { ...span, before: before!, after: after!, look: has_sum ? "bars" : "line", unit: unit ?? "", unitAfter: to };
}

/** The hours in which a counter rose most. */
export async function largestHours(entity: string, span: Span): Promise<Row[]> {
  const said = await ask<StatisticsAnswer>("statistician", "statistics", {
    entities: [entity], period: "hour", start: iso(span.from), end: iso(span.to), types: ["change"], order_by: "change", limit: 5, above: 0,
  });
  return (said.rows[entity] ?? []).map(rowOf);
}

export interface Outlier {
  time: number;
  value: number;
  low: number | null;
  high: number | null;
  /** Left out of the statistics of a counter already. */
  leftOut: boolean;
}

type OutlierRow = [ts: string, value: number, low: number | null, high: number | null, score: number | null, leftOut: boolean, before: number | null];

/** States that are far from those around them, the newest first. */
export async function outliers(entity: string, span: Span): Promise<Outlier[]> {
  const said = await ask<{ rows: OutlierRow[] }>("statistician", "outliers", { entity, start: iso(span.from), end: iso(span.to) });
  const found = said.rows.map(([ts, value, low, high, , leftOut]) => ({ time: Date.parse(ts), value, low, high, leftOut }));
  return found.reverse();
}
