/** The corrections of one entity, each with the chart of what it would do. */
import { houseNow } from "../contract/house";
import { ask } from "../contract/requests";
import { type Answered, rowOf } from "../history/data";
import { states as storedStates } from "../history/load";
import type { Compared } from "../kit/compare";
import type { Span } from "../kit/gestures";
import type { Row } from "../kit/rows";
import type { Change } from "../kit/steps";
import { nameOf } from "../now/cards";
import { t } from "../text/words";
import { fix } from "./fix";
import { around, comparedStates, comparedSums, including, type State, without } from "./preview";
import { amount, at, type Summary } from "./say";
import { mendable } from "./stored";

const HOUR = 3_600_000;
/** Hours before and after an adjustment that are drawn. */
const AROUND_HOURS = 12;
/** Days of which a conversion is drawn. */
const CONVERTED_DAYS = 30;

/** What is known of an entity's statistics (docs/requests.md, metadata); `unit` is that of its rows, not of its states. */
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

/** Ask what is known of an entity. Rejects with AskError. */
export async function readKnown(entity: string): Promise<Known> {
  const [known] = await ask<Known[]>("statistician", "metadata", { entities: [entity] });
  // Without statistics it has states at most.
  return known ?? { entity, name: null, unit: null, has_mean: false, has_sum: false };
}

/** Asks for rows in the unit that they are stored in; without it they come in the unit of the states. */
function asStored({ unit, unit_class }: Known): object {
  return unit && unit_class ? { units: { [unit_class]: unit } } : {};
}

function stateUnit(entity: string): string {
  return mendable.value.find((one) => nameOf(one) === entity)?.entity.unit ?? "";
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

async function statesCompared(entity: string, touched: Span, after: (states: State[]) => State[]): Promise<Compared | null> {
  const span = around(touched, houseNow());
  const found = await numbers(entity, span);
  return found && comparedStates(found, after(found), span, stateUnit(entity));
}

/** Delete the states of a span. */
export function deleteStates(entity: string, gone: Span): Change {
  const one = gone.to - gone.from <= 1;
  return fix({
    title: t("delete_values"),
    verb: "delete_states",
    parameters: one ? { entity, ts: iso(gone.from) } : { entity, start: iso(gone.from), end: iso(gone.to) },
    text: one ? t("would_delete_one", { time: at(gone.from) }) : t("would_delete", { from: at(gone.from), to: at(gone.to) }),
    compared: () => statesCompared(entity, gone, (states) => without(states, gone)),
  });
}

/** Let a reading count that was left out. */
export function acceptReading(entity: string, time: number, value: number): Change {
  return fix({
    title: t("let_count"),
    verb: "accept_reading",
    parameters: { entity, ts: iso(time) },
    text: t("would_accept", { value: amount(value, stateUnit(entity)), time: at(time) }),
    compared: () => statesCompared(entity, { from: time, to: time + 1 }, (states) => including(states, [time, value])),
  });
}

async function hours(known: Known, span: Span): Promise<Row[]> {
  const { entity } = known;
  const range = { start: iso(span.from - (span.from % HOUR)), end: iso(span.to) };
  const said = await ask<StatisticsAnswer>("statistician", "statistics", { entities: [entity], period: "hour", ...range, types: ["change"], ...asStored(known) });
  return (said.rows[entity] ?? []).map(rowOf);
}

/** What an adjustment does to the hours around it. Rejects with AskError. */
export async function sumsCompared(known: Known, start: number, adjustment: number): Promise<Compared> {
  const span = { from: start - AROUND_HOURS * HOUR, to: Math.min(start + AROUND_HOURS * HOUR, Math.max(houseNow(), start + HOUR)) };
  return comparedSums(await hours(known, span), start, adjustment, span, known.unit ?? "");
}

/** Add to the sums from a time on. */
export function adjustSum(known: Known, start: number, adjustment: number): Change {
  const { entity, unit } = known;
  const sign = adjustment < 0 ? "−" : "+";
  return fix({
    title: t("adjust_sum"),
    verb: "adjust_sum",
    parameters: { entity, start: iso(start), adjustment, ...(unit ? { unit } : {}) },
    text: t("would_adjust", { amount: `${sign}${amount(Math.abs(adjustment), unit)}`, time: at(start) }),
    compared: () => sumsCompared(known, start, adjustment),
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
async function converted(known: Known, to: string): Promise<Compared | null> {
  const { entity, unit, unit_class, has_sum } = known;
  if (!unit_class) return null;
  const now = houseNow();
  const span = { from: now - CONVERTED_DAYS * 24 * HOUR, to: now };
  const asked = { entities: [entity], period: "day", start: iso(span.from), end: iso(span.to) };
  const [before, after] = await Promise.all([asStored(known), { units: { [unit_class]: to } }].map(async (units) => {
    const said = await ask<StatisticsAnswer>("statistician", "statistics", { ...asked, ...units });
    return (said.rows[entity] ?? []).map(rowOf);
  }));
  return { ...span, before: before!, after: after!, look: has_sum ? "bars" : "line", unit: unit ?? "", unitAfter: to };
}

/** What taking back a fix does, as far as its parameters and the dry run tell. Rejects with AskError. */
export async function takenBack(verb: string, parameters: Record<string, unknown>, said: Summary): Promise<Compared | null> {
  const { entity, start, adjustment, unit, ts, old_unit } = parameters as { entity: string; start: string; adjustment: number; unit?: string | null; ts: string; old_unit?: string | null };
  const back = (said.brought_back ?? []).map(([time, value]): State => [Date.parse(time), value]);
  if (verb === "delete_states" && back.length > 0) {
    return statesCompared(entity, { from: back[0]![0], to: back.at(-1)![0] + 1 }, (states) => back.reduce(including, states));
  }
  if (verb === "accept_reading") {
    const time = new Date(ts).getTime();
    return statesCompared(entity, { from: time, to: time + 1 }, (states) => without(states, { from: time, to: time + 1 }));
  }
  if (verb === "change_unit" && old_unit) return converted(await readKnown(entity), old_unit);
  if (verb !== "adjust_sum") return null;
  const known = await readKnown(entity);
  // In another unit than that of the rows it is not drawn.
  return unit && unit !== known.unit ? null : sumsCompared(known, new Date(start).getTime(), -adjustment);
}

/** The hours in which a counter rose most. */
export async function largestHours(known: Known, span: Span): Promise<Row[]> {
  const { entity } = known;
  const said = await ask<StatisticsAnswer>("statistician", "statistics", {
    entities: [entity], period: "hour", start: iso(span.from), end: iso(span.to), types: ["change"], order_by: "change", limit: 5, above: 0, ...asStored(known),
  });
  return (said.rows[entity] ?? []).map(rowOf);
}

export interface Outlier {
  time: number;
  value: number;
  /** Of the states, which may differ from that of the rows. */
  unit: string;
  low: number | null;
  high: number | null;
  /** Left out of the statistics of a counter already. */
  leftOut: boolean;
}

type OutlierRow = [ts: string, value: number, low: number | null, high: number | null, score: number | null, leftOut: boolean, before: number | null];

/** States that are far from those around them, the newest first. */
export async function outliers(entity: string, span: Span): Promise<Outlier[]> {
  const said = await ask<{ unit: string | null; rows: OutlierRow[] }>("statistician", "outliers", { entity, start: iso(span.from), end: iso(span.to) });
  const found = said.rows.map(([ts, value, low, high, , leftOut]) => ({ time: Date.parse(ts), value, unit: said.unit ?? "", low, high, leftOut }));
  return found.reverse();
}
