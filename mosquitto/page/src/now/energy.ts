/** Sums of the energy flow: pure. */
import type { Place } from "../contract/house";

/** Add the known watts of these places; null if none is known. */
export function watts(places: readonly Place[]): number | null {
  let sum: number | null = null;
  for (const { device, key, entity } of places) {
    const value = device.value(key);
    if (typeof value !== "number" || device.old.value) continue;
    sum = (sum ?? 0) + value * (entity.unit === "kW" ? 1000 : 1);
  }
  return sum;
}

/** Time of a series at which a line through its last half hour reaches `goal`, ms from its end; null if it does not. */
export function reaches(points: readonly (readonly [number, number])[], goal: number): number | null {
  const end = points.at(-1)?.[0] ?? 0;
  const last = points.filter(([at]) => at >= end - 1_800_000);
  if (last.length < 4) return null;
  const n = last.length;
  const meanX = last.reduce((sum, [x]) => sum + x, 0) / n;
  const meanY = last.reduce((sum, [, y]) => sum + y, 0) / n;
  const over = last.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  const under = last.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  const slope = under > 0 ? over / under : 0;
  const left = slope === 0 ? Number.NaN : (goal - last.at(-1)![1]) / slope;
  // Slower than a hundredth of a percent a minute says nothing about the hours to come.
  return left > 0 && Math.abs(slope) * 60_000 >= 0.01 ? left : null;
}
