/** Values that stand out, and the hours in which a counter rose most: what to do with each. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { houseNow } from "../contract/house";
import type { Span } from "../kit/gestures";
import { Panel, sentence } from "../kit/parts";
import type { Row } from "../kit/rows";
import type { Change } from "../kit/steps";
import { date, number } from "../text/format";
import { t, type Word } from "../text/words";
import { acceptReading, adjustSum, deleteStates, type Known, largestHours, type Outlier, outliers } from "./corrections";
import { made } from "./fix";
import { amount } from "./say";

const DAY_MS = 86_400_000;
const RANGES: readonly (readonly [Word, number])[] = [["last_day", 1], ["last_week", 7], ["last_ten_days", 10]];
/** More are not listed: they are no outliers then, but what the device always says. */
const MOST = 50;

interface Found {
  outliers: Outlier[];
  hours: Row[];
}

async function find(known: Known, span: Span): Promise<Found> {
  const [values, hours] = await Promise.all([outliers(known.entity, span), known.has_sum ? largestHours(known, span) : []]);
  return { outliers: values, hours };
}

export function Outliers({ known, onChange }: { known: Known; onChange: (change: Change) => void }) {
  const days = useSignal(1);
  const found = useSignal<Found | null>(null);
  const why = useSignal("");
  useEffect(() => {
    let stale = false;
    found.value = null;
    why.value = "";
    const now = houseNow();
    find(known, { from: now - days.value * DAY_MS, to: now }).then(
      (said) => !stale && (found.value = said),
      (error: unknown) => !stale && (why.value = sentence(error)),
    );
    return () => (stale = true, undefined);
  }, [known, days.value, made.value]);
  const list = found.value?.outliers ?? [];
  return (
    <Panel id="outliers" title={t("outliers")}>
      <div class="ranges" role="group" aria-label={t("range")}>
        {RANGES.map(([word, count]) => <button key={word} aria-pressed={days.value === count} onClick={() => (days.value = count)}>{t(word)}</button>)}
      </div>
      <p role="status" class="soft">{found.value === null ? (why.value ? "" : t("loading")) : list.length === 0 ? t("no_outliers") : ""}</p>
      {why.value && <p class="refusal" role="alert">{why.value}</p>}
      <ul class="told">{list.slice(0, MOST).map((one) => <Line key={one.time} one={one} entity={known.entity} onChange={onChange} />)}</ul>
      {list.length > MOST && <p class="soft">{t("and_more", { count: number(list.length - MOST) })}</p>}
      {found.value !== null && found.value.hours.length > 0 && <Hours hours={found.value.hours} known={known} onChange={onChange} />}
    </Panel>
  );
}

function Line({ one, entity, onChange }: { one: Outlier; entity: string; onChange: (change: Change) => void }) {
  const what = `${amount(one.value, one.unit)}, ${date(one.time, "full")}`;
  return (
    <li>
      <p class="between"><strong>{amount(one.value, one.unit)}</strong> <time>{date(one.time, "full")}</time></p>
      {one.low !== null && one.high !== null && <small>{t("expected", { low: number(one.low, 2), high: amount(one.high, one.unit) })}</small>}
      {one.leftOut && <p>{t("is_left_out")}</p>}
      <p class="options">
        {one.leftOut
          ? <button aria-label={`${t("let_count")}: ${what}`} onClick={() => onChange(acceptReading(entity, one.time, one.value))}>{t("let_count")}</button>
          : <button aria-label={`${t("delete")}: ${what}`} onClick={() => onChange(deleteStates(entity, { from: one.time, to: one.time + 1 }))}>{t("delete")}</button>}
      </p>
    </li>
  );
}

function Hours({ hours, known, onChange }: { hours: readonly Row[]; known: Known; onChange: (change: Change) => void }) {
  return (
    <>
      <h3>{t("largest_hours")}</h3>
      <ul class="told">
        {hours.map((row) => (
          <li key={row.start}>
            <p class="between"><strong>+{amount(row.change ?? 0, known.unit)}</strong> <time>{date(row.start, "both")}</time></p>
            <p class="options">
              <button aria-label={`${t("take_out")}: ${amount(row.change ?? 0, known.unit)}, ${date(row.start, "both")}`} onClick={() => onChange(adjustSum(known, row.start, -(row.change ?? 0)))}>{t("take_out")}</button>
            </p>
          </li>
        ))}
      </ul>
    </>
  );
}
