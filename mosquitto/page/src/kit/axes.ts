/** Which series share an axis, its side, its unit, its range and its words; dashes and marks: pure. */
import { date, scaled } from "../text/format";
import { isPartly, type Row, type Series, valueOf } from "./rows";

export interface Axis {
  /** As written; values of the series times its factor are in it. */
  unit: string;
  side: "left" | "right";
  /** Whether there is room to write it; the legend has the numbers anyway. */
  shown: boolean;
  /** Whether it begins at 0: bars stand on it. */
  zero: boolean;
}

export interface Axes {
  axes: Axis[];
  /** Of each series: its axis and the factor from its own unit to the axis'. */
  of: { axis: number; factor: number }[];
}

/** Units that are told in a smaller one before the axis chooses how to write them. */
const SMALLER: Record<string, [string, number]> = {
  kW: ["W", 1000], MW: ["W", 1e6], kWh: ["Wh", 1000], MWh: ["Wh", 1e6], kVA: ["VA", 1000], mV: ["V", 0.001], mA: ["A", 0.001],
};
const DASHES: readonly number[][] = [[], [9, 3], [2, 3], [9, 3, 2, 3], [14, 4], [4, 4]];
const WIDE_PX = 700;
const DAY_MS = 86_400_000;

/** The largest number that is drawn of a series, without its sign; below 0 if there is none. */
function largest(series: Series): number {
  let most = -1;
  for (const row of series.rows) {
    for (const value of [valueOf(row, series.look), series.look === "bars" ? null : row.max, series.look === "bars" ? null : row.min]) {
      if (typeof value === "number") most = Math.max(most, Math.abs(value));
    }
  }
  return most;
}

/** Lay out the axes of a chart of this width, px. A power and its energy, or bars and lines, never share one. */
export function axesOf(series: readonly Series[], width: number): Axes {
  const groups = new Map<string, number[]>();
  series.forEach((one, at) => {
    const key = `${(SMALLER[one.unit] ?? [one.unit])[0]}${one.look === "bars" ? " bars" : ""}`;
    groups.set(key, [...(groups.get(key) ?? []), at]);
  });
  const of: Axes["of"] = [];
  let shown = 0;
  const axes = [...groups.values()].map((members, number): Axis => {
    const base = SMALLER[series[members[0]!]!.unit]?.[0] ?? series[members[0]!]!.unit;
    const factors = members.map((at) => SMALLER[series[at]!.unit]?.[1] ?? 1);
    const most = Math.max(...members.map((at, i) => largest(series[at]!) * factors[i]!));
    const { unit, factor } = scaled(base, most);
    members.forEach((at, i) => (of[at] = { axis: number, factor: factors[i]! * factor }));
    // What has no values yet needs no numbers.
    const fits = most >= 0 && shown < (width < WIDE_PX ? 2 : 4);
    shown += Number(fits);
    return { unit, side: number % 2 === 0 ? "left" : "right", shown: fits, zero: members.some((at) => series[at]!.look === "bars") };
  });
  return { axes, of };
}

/** Write ticks of time: hours, at midnight the day; days; months, in January the year. */
export function tickWords(splits: readonly number[], step: number): string[] {
  return splits.map((time) => {
    const day = new Date(time);
    if (step >= 360 * DAY_MS) return date(time, "year");
    if (step >= 27 * DAY_MS) return date(time, day.getMonth() === 0 ? "month" : "short_month");
    const midnight = day.getHours() === 0 && day.getMinutes() === 0;
    return date(time, step >= DAY_MS || midnight ? "short" : step < 60_000 ? "seconds" : "time");
  });
}

/** How many decimals tell steps of an axis apart. */
export function decimalsOf(step: number): number {
  return [0, 1, 2, 3, 4, 5].find((many) => Math.abs(step * 10 ** many - Math.round(step * 10 ** many)) < 1e-6) ?? 6;
}

/** The range of an axis: a tenth of room, and 0 under bars. */
export function rangeOf(low: number | null, high: number | null, zero: boolean): [number, number] {
  if (low === null || high === null) return [0, 1];
  const [least, most] = zero ? [Math.min(low, 0), Math.max(high, 0)] : [low, high];
  const room = (most - least || Math.abs(most) || 1) * 0.08;
  return [least === 0 && zero ? 0 : least - room, most === 0 && zero ? 0 : most + room];
}

/** Which points are marked: those known in part, and those that no line reaches. */
export function marked(values: readonly (number | null | undefined)[], rows: readonly (Row | undefined)[]): number[] {
  const own = values.flatMap((value, at) => (value === undefined ? [] : [at]));
  return own.filter((at, i) => {
    if (values[at] === null) return false;
    const alone = (values[own[i - 1] ?? -1] ?? null) === null && (values[own[i + 1] ?? -1] ?? null) === null;
    return alone || isPartly(rows[at]!);
  });
}

/** The dashes of a tone, px: colour alone does not tell series apart. */
export function dashOf(tone: number): readonly number[] {
  return DASHES[(tone - 1) % DASHES.length]!;
}
