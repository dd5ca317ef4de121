/** What is seen as a table: for who cannot see a chart, and for who wants numbers. */
import { useSignal } from "@preact/signals";
import { date, number } from "../text/format";
import { t } from "../text/words";
import { type Look, tabled, type Told } from "./data";

const MOST_LINES = 200;
/** Lines, bars and states have periods of their own. */
const LOOKS: readonly Look[] = ["line", "bars", "band"];

function written(value: string | number | null | undefined): string {
  return typeof value === "number" ? number(value, Math.abs(value) < 100 ? 2 : 0) : (value ?? "–");
}

export function Table({ told }: { told: () => Told[] }) {
  const open = useSignal(false);
  return (
    <details class="numbers" onToggle={(event) => (open.value = event.currentTarget.open)}>
      <summary>{t("table")}</summary>
      {open.value && LOOKS.map((look) => {
        const own = told().filter((one) => one.look === look);
        return own.length > 0 && <Lines key={look} {...tabled(own)} />;
      })}
    </details>
  );
}

function Lines({ head, lines }: ReturnType<typeof tabled>) {
  return (
    <div class="scroll" data-scrolls tabIndex={0} role="region" aria-label={head.join(", ")}>
      <table>
        {lines.length > MOST_LINES && <caption>{t("newest_rows", { count: String(MOST_LINES) })}</caption>}
        <thead><tr><th scope="col">{t("begin")}</th>{head.map((one) => <th key={one} scope="col">{one}</th>)}</tr></thead>
        <tbody>
          {lines.slice(-MOST_LINES).reverse().map(({ start, end, cells }) => (
            <tr key={`${start} ${end}`}>
              <th scope="row">{date(start, "full")}</th>
              {cells.map((value, at) => <td key={at}>{written(value)}</td>)}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
