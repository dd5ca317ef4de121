/** The history of any entities together: lines, bars and bands over a time that the person moves. */
import { type ReadonlySignal, useComputed, useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { follow, link } from "../contract/connection";
import { houseNow, place, places, second, services } from "../contract/house";
import { levels } from "../contract/topics";
import type { Message } from "../contract/transport";
import { Chart } from "../kit/chart";
import type { Span } from "../kit/gestures";
import { sentence } from "../kit/parts";
import type { Area } from "../kit/plot";
import { go, query } from "../kit/route";
import { date } from "../text/format";
import { language, t } from "../text/words";
import { Bands } from "./bands";
import { csv, type Look, lookOf } from "./data";
import { Legend, valueAt } from "./legend";
import { type Asked, firstRow, keptDays, Loader } from "./load";
import { Choices, Picker } from "./picker";
import { barPeriod, barPeriods, type Choice, chosen, clamped, linePeriod, moved, type Period, read, spanOf, startOf, shifted, written } from "./ranges";
import { fileName, saveCsv, savePicture } from "./save";
import { bandsOf, seenOf, seriesOf, toldOf, usual } from "./seen";
import { Table } from "./table";
import { Tools } from "./tools";

const DAY_MS = 86_400_000;
const TICK_MS = 5000;
/** What is new is asked for once it has come for all. */
const SETTLES_MS = 700;

/** A choice with all that follows from it at this moment. */
interface Now {
  choice: Choice;
  looks: ReadonlyMap<string, Look>;
  span: Span;
  lines: Period | "states";
  bars: Period;
  live: boolean;
  now: number;
}

/** What is seen at `time`, the house's. */
function nowOf(choice: Choice, time: number, first: number | null, kept: number): Now {
  const looks = new Map(choice.entities.flatMap((name) => {
    const found = place(name);
    return found ? [[name, lookOf(found.entity)] as const] : [];
  }));
  const rough = spanOf(choice, time, first, null);
  const short = rough.to - rough.from <= 2 * 3_600_000;
  // A long span moves by the minute.
  const now = short ? time : time - (time % 60_000);
  const bars = barPeriod(rough.to - rough.from, choice.bars);
  const span = spanOf(choice, now, first, [...looks.values()].includes("bars") ? bars : null);
  return { choice, looks, span, lines: linePeriod({ ...span, to: Math.min(span.to, now) }, now - kept * DAY_MS), bars, live: choice.end === null, now };
}

export function History() {
  const loader = useMemo(() => new Loader(), []);
  const first = useSignal<number | null | undefined>(undefined);
  const kept = useSignal(10);
  const at = useComputed(() => Math.floor(second.value / TICK_MS) * TICK_MS);
  const names = read(query.value).entities;
  const choice = useMemo(() => ({ ...read(query.value), entities: names.length > 0 ? names : usual(places.value) }), [query.value, names.length > 0 || places.value]);
  const state = nowOf(choice, at.value, first.value ?? null, kept.value);
  useLoading(loader, state, first, kept);
  useNews(loader, state, at);
  return <View state={state} loader={loader} first={first.value ?? null} />;
}

/** Ask anew when something else is to be seen, when the connection is back, and every hour. */
function useLoading(loader: Loader, state: Now, first: { value: number | null | undefined }, kept: { value: number }): void {
  const { choice, looks, span, lines, bars, live, now } = state;
  const up = link.value === "up";
  const known = [...looks].join();
  useEffect(() => {
    // Without an answer the standard counts; the rows themselves tell what is wrong.
    if (up) keptDays().then((days) => (kept.value = days), () => undefined);
  }, [up]);
  const all = choice.range === "all";
  useEffect(() => {
    // All rows are read for it: only where it is needed.
    if (up && all) void firstRow([...looks].filter(([, look]) => look !== "band").map(([name]) => name)).then((found) => (first.value = found));
  }, [up, all, known]);
  // When the statistician is back, what it did not answer is asked again.
  const answers = services.value.get("statistician")?.online ?? null;
  const key = JSON.stringify([choice, lines, bars, known, up, answers, live && Math.floor(now / 3_600_000), all && first.value]);
  useEffect(() => {
    if (!up || looks.size === 0 || (all && first.value === undefined)) return;
    const stateOnly = new Set(choice.entities.filter((name) => place(name)?.entity.state_class === undefined));
    const asked: Asked = { looks, span, range: choice.range, lines, bars, previous: choice.previous, stateOnly, first: first.value ?? null };
    void loader.load(asked, houseNow());
  }, [key]);
  useEffect(() => () => loader.stop(), []);
}

/** Take in what comes while it is seen: states every few seconds, rows as the statistician publishes them. */
function useNews(loader: Loader, state: Now, at: ReadonlySignal<number>): void {
  const last = useRef(state);
  last.current = state;
  useEffect(() => {
    let since = Number.POSITIVE_INFINITY;
    const news = new Set<string>();
    let timer = 0;
    const take = (message: Message) => {
      const { looks, span } = last.current;
      const device = levels(message.topic)?.[1] ?? "";
      const mine = [...looks.keys()].filter((name) => name.startsWith(`${device}.`));
      // A retained one is in the rows that were asked for.
      if (message.retained || mine.length === 0) return;
      const start = startOfRow(message.payload);
      if (start === null || start >= span.to) return;
      since = Math.min(since, start);
      for (const name of mine) news.add(name);
      clearTimeout(timer);
      timer = window.setTimeout(() => {
        const names = [...news].filter((name) => loader.shown.value.get(name)?.period !== "states");
        void loader.refresh(names, Math.max(since, last.current.span.from), last.current.span, houseNow());
        since = Number.POSITIVE_INFINITY;
        news.clear();
      }, SETTLES_MS);
    };
    const leave = [follow("5minute", take), follow("hour", take)];
    return () => {
      clearTimeout(timer);
      leave.forEach((one) => one());
    };
  }, []);
  const { looks, span, live, lines } = state;
  const bands = live ? [...looks].filter(([, look]) => look === "band").map(([name]) => name) : [];
  const values = bands.map((name) => place(name)?.device.value(place(name)!.key));
  useEffect(() => {
    bands.forEach((name, i) => values[i] !== undefined && loader.heard(name, place(name)!.device.heard.value, values[i]!));
  }, [JSON.stringify([bands, values])]);
  useEffect(() => {
    if (!live || lines !== "states" || link.value !== "up" || loader.busy.value) return;
    for (const [name, one] of loader.shown.value) {
      const last = one.rows.at(-1);
      if (one.period === "states" && one.look === "line" && last && at.value - last.end >= last.end - last.start) void loader.refresh([name], last.start, span, houseNow());
    }
  }, [at.value]);
}

/** The start of the row that was published, ms; null if it cannot be read. */
function startOfRow(payload: string): number | null {
  try {
    const start = Date.parse((JSON.parse(payload) as { start: string }).start);
    return Number.isNaN(start) ? null : start;
  } catch {
    return null; // nobody but the statistician writes there; without a start it says nothing
  }
}

/** The seen time in words. */
export function timeOf({ from, to }: Span, live: boolean): string {
  const style = to - from > 60 * DAY_MS ? "date" : to - from > 3 * DAY_MS ? "day" : "both";
  return `${date(from, style)} – ${live ? t("until_now") : date(style === "both" ? to : to - 1, style)}`;
}

function View({ state, loader, first }: { state: Now; loader: Loader; first: number | null }) {
  const { choice, span, bars, live, now, looks } = state;
  const read = useSignal<number | null>(null);
  const picking = useSignal(false);
  const wrong = useSignal("");
  const area = useSignal<Area>({ ...span, left: 0, width: 1 });
  const frame = useRef<HTMLDivElement>(null);
  const seen = seenOf(choice.entities, loader.shown.value, span);
  const tail = live && state.lines === "states" ? JSON.stringify(seen.map(({ at }) => at.device.heard.value)) : "";
  const series = useMemo(() => seriesOf(seen, live), [loader.shown.value, choice.entities.join(), looks.size, tail, language.value]);
  const bands = useMemo(() => bandsOf(seen), [loader.shown.value, choice.entities.join(), looks.size, span.to, language.value]);
  const set = (change: Partial<Choice>, instead = false) => go("history", written({ ...choice, ...change }), instead);
  const toggle = (name: string) => set({ entities: choice.entities.includes(name) ? choice.entities.filter((one) => one !== name) : [...choice.entities, name] }, true);
  const latest = Math.max(now, live ? span.to : startOf(shifted(now, bars, 1), bars));
  const title = `${seen.map((one) => one.title).join(", ")}, ${timeOf(span, live)}`;
  const save = async (how: () => Promise<void> | void) => {
    try {
      await how();
      wrong.value = "";
    } catch (error) {
      wrong.value = sentence(error);
    }
  };
  const busy = loader.busy.value && looks.size > 0;
  const empty = !busy && seen.length > 0 && seen.every((one) => !one.shown.error && one.shown.rows.length + one.shown.states.length === 0);
  return (
    <div class="history">
      <section class="card" aria-labelledby="history-title">
        <Tools choice={choice} title={timeOf(span, live)} bars={[...looks.values()].includes("bars") ? { by: bars, of: barPeriods(span.to - span.from) } : null}
          onSet={set} onMove={(by) => {
            const end = moved(choice.end ?? now, choice.range, by);
            set({ end: end >= now ? null : end }, true);
          }} />
        <div ref={frame} class={`frame ${series.length === 0 ? "low" : ""}`} aria-busy={busy}>
          <Chart series={series} from={span.from} to={span.to} label={title} onDraw={(drawn) => (area.value = drawn)}
            onRead={(time) => (read.value = time)} within={(wished) => clamped(wished, first ?? 0, latest)}
            onSpan={(wished) => go("history", written(chosen(choice, span, wished, now)), true)} />
          <Bands bands={bands} area={area.value} />
          {busy ? <p class="note" role="status">{t("loading")}</p> : empty && <p class="note" role="status">{t("no_data")}</p>}
        </div>
        {seen.length === 0 && <p class="empty">{t("choose_values")}</p>}
        {choice.entities.filter((name) => link.value === "up" && !looks.has(name)).map((name) => (
          <p key={name} class="refusal">{t("gone", { name })} <button onClick={() => toggle(name)}>{t("remove")}</button></p>
        ))}
        <p class="read" role="status">
          {read.value !== null && date(read.value, span.to - span.from > 20 * DAY_MS ? "date" : "both")}&nbsp;
          <span class="only-read">{read.value !== null && seen.map((one) => `${one.title}: ${valueAt(one, read.value!)}`).join("; ")}</span>
        </p>
        <Legend all={seen} read={read.value} onRemove={toggle} />
        <p class="soft">{t("partly")}</p>
        <p class="foot">
          <button class="main" onClick={() => (picking.value = true)}>+ {t("add")}</button>
          <button onClick={() => void save(() => saveCsv(csv(toldOf(seen)), fileName(seen, span.from, "csv")))}>{t("csv")}</button>
          <button onClick={() => void save(() => savePicture(frame.current!, seen, timeOf(span, live), fileName(seen, span.from, "png")))}>{t("picture")}</button>
        </p>
        {wrong.value && <p class="refusal" role="alert">{wrong.value}</p>}
        <Table told={() => toldOf(seen)} />
      </section>
      <div class="beside">
        {[...new Set(seen.map((one) => one.at.device))].map((device) => (
          <section key={device.id} class="card" aria-labelledby={`of-${device.id}`}>
            <header><h2 id={`of-${device.id}`}>{device.about.value.name}</h2></header>
            <Choices list={places.value.filter((one) => one.device === device)} chosen={choice.entities} onToggle={toggle} />
          </section>
        ))}
      </div>
      {picking.value && <Picker chosen={choice.entities} onToggle={toggle} onClose={() => (picking.value = false)} />}
    </div>
  );
}
