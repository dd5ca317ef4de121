/** Which time is seen: ranges as chips, back and forward, the period before, how long bars are. */
import { language, t, type Word } from "../text/words";
import { type Choice, type Period, RANGES, type RangeName } from "./ranges";

const LENGTHS: Record<Exclude<RangeName, "all">, [number, "hour" | "day" | "year"]> = {
  "1h": [1, "hour"], "24h": [24, "hour"], "7d": [7, "day"], "30d": [30, "day"], "1y": [1, "year"],
};

function rangeWords(range: RangeName, unitDisplay: "narrow" | "long"): string {
  if (range === "all") return t("everything");
  const [many, unit] = LENGTHS[range];
  return new Intl.NumberFormat(language.value, { style: "unit", unit, unitDisplay }).format(many);
}

export function Tools(props: {
  choice: Choice;
  title: string;
  bars: { by: Period; of: Period[] } | null;
  onSet: (change: Partial<Choice>) => void;
  onMove: (by: -1 | 1) => void;
}) {
  const { choice, title, bars, onSet, onMove } = props;
  return (
    <div class="tools">
      <div class="ranges" data-scrolls role="group" aria-label={t("range")}>
        {RANGES.map((one) => (
          <button key={one} aria-label={rangeWords(one, "long")} aria-pressed={choice.range === one} onClick={() => onSet({ range: one, end: one === "all" ? null : choice.end })}>{rangeWords(one, "narrow")}</button>
        ))}
      </div>
      <div class="walk">
        <button aria-label={t("earlier")} disabled={choice.range === "all"} onClick={() => onMove(-1)}>‹</button>
        <h2 id="history-title">{title}</h2>
        <button aria-label={t("later")} disabled={choice.end === null} onClick={() => onMove(1)}>›</button>
        <button disabled={choice.end === null} onClick={() => onSet({ end: null })}>{t("until_now")}</button>
      </div>
      <div class="options">
        <button aria-pressed={choice.previous} disabled={choice.range === "all"} onClick={() => onSet({ previous: !choice.previous })}>{t("previous")}</button>
        {bars && (
          <label>
            {t("bars_by")}{" "}
            <select value={bars.by} onChange={(event) => onSet({ bars: event.currentTarget.value as Period })}>
              {[...new Set([...bars.of, bars.by])].map((one) => <option key={one} value={one}>{t(`by_${one}` as Word)}</option>)}
            </select>
          </label>
        )}
      </div>
    </div>
  );
}
