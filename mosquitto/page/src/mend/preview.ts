/** What would be before and after a correction, computed from what is stored now: pure. */
import type { Compared } from "../kit/compare";
import type { Span } from "../kit/gestures";
import type { Row } from "../kit/rows";

/** A value that holds from its time, ms, until the next; null is unknown. */
export type State = readonly [number, number | null];

/** Points of a chart. */
const POINTS = 240;
const MINUTE = 60_000;

/** The mean by time, the lowest and the highest value of equal parts of a span; no peak is lost. */
export function rowsOfStates(states: readonly State[], { from, to }: Span, count = POINTS): Row[] {
  const step = (to - from) / count;
  const rows: Row[] = [];
  let at = 0;
  for (let i = 0; i < count; i += 1) {
    const [start, end] = [from + i * step, from + (i + 1) * step];
    while (at + 1 < states.length && states[at + 1]![0] <= start) at += 1;
    const row = within(states, at, start, end);
    if (row) rows.push(row);
  }
  return rows;
}

function within(states: readonly State[], first: number, start: number, end: number): Row | null {
  let [weight, sum, min, max] = [0, 0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let at = first; at < states.length && states[at]![0] < end; at += 1) {
    const [time, value] = states[at]!;
    const long = Math.min(states[at + 1]?.[0] ?? end, end) - Math.max(time, start);
    if (value === null || long <= 0) continue;
    weight += long;
    sum += value * long;
    min = Math.min(min, value);
    max = Math.max(max, value);
  }
  return weight > 0 ? { start, end, mean: sum / weight, min, max } : null;
}

/** What to show around a correction: a little before and after it. */
export function around({ from, to }: Span, now: number): Span {
  const room = Math.max((to - from) / 2, 15 * MINUTE);
  return { from: from - room, to: Math.min(to + room, Math.max(now, to + 1)) };
}

/** States without those from `gone.from` up to `gone.to`. */
export function without(states: readonly State[], gone: Span): State[] {
  return states.filter(([time]) => time < gone.from || time >= gone.to);
}

/** States with one more. */
export function including(states: readonly State[], one: State): State[] {
  return [...states.filter(([time]) => time !== one[0]), one].sort(([a], [b]) => a - b);
}

export function comparedStates(before: readonly State[], after: readonly State[], span: Span, unit: string): Compared {
  return { ...span, look: "line", unit, before: rowsOfStates(before, span), after: rowsOfStates(after, span) };
}

/** Changes of a counter by hour, before and after an adjustment from `start` on: the hour of `start` has it. */
export function comparedSums(rows: readonly Row[], start: number, amount: number, span: Span, unit: string): Compared {
  const changed = rows.findIndex((row) => row.end > start);
  const after = rows.map((row, at) => (at === changed ? { ...row, change: (row.change ?? 0) + amount } : row));
  return { ...span, look: "bars", unit, before: rows, after };
}
