/** Which series share an axis, on which side it stands, and in which unit it is written: pure. */
import { scaled } from "../text/format";
import { type Series, valueOf } from "./rows";

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
const WIDE_PX = 700;

/** The largest number that is drawn of a series, without its sign. */
function largest(series: Series): number {
  let most = 0;
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
  const axes = [...groups.values()].map((members, number): Axis => {
    const base = SMALLER[series[members[0]!]!.unit]?.[0] ?? series[members[0]!]!.unit;
    const factors = members.map((at) => SMALLER[series[at]!.unit]?.[1] ?? 1);
    const most = Math.max(...members.map((at, i) => largest(series[at]!) * factors[i]!));
    const { unit, factor } = scaled(base, most);
    members.forEach((at, i) => (of[at] = { axis: number, factor: factors[i]! * factor }));
    return { unit, side: number % 2 === 0 ? "left" : "right", shown: number < (width < WIDE_PX ? 2 : 4), zero: members.some((at) => series[at]!.look === "bars") };
  });
  return { axes, of };
}
