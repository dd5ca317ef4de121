/** Relays and other entities that obey commands. */
import { effect, type Signal, signal, useSignal } from "@preact/signals";
import { right } from "../contract/connection";
import { type Place, second } from "../contract/house";
import { ask, command } from "../contract/requests";
import type { Value } from "../contract/types";
import { Age, isOld, sentence } from "../kit/parts";
import { date, number, option, words } from "../text/format";
import { t } from "../text/words";
import { nameOf } from "./cards";

type State = { is: "idle" | "sent" | "done" } | { is: "refused"; why: string };

const DONE_MS = 2000;
/** Ms to wait for more before the access log is read, and how far a line may be from the change that it made. */
const LOG_MS = 500;
const SAME_MS = 5000;

/** Since when each entity has its value, ms, by `device.entity`; asked once and kept up by what comes. */
const since = new Map<string, { value: unknown; at: number }>();

function useSince(at: Place): number | null {
  const name = nameOf(at);
  const value = at.device.value(at.key);
  const changed = useSignal(0);
  const known = since.get(name);
  if (value !== undefined && known?.value !== value) {
    // The first value is older than this page: the statistician knows since when. Later ones were seen to change.
    since.set(name, { value, at: known ? at.device.heard.value : 0 });
    if (known) readLog();
    else {
      ask<{ ts: string }[]>("statistician", "latest", { entity: name }).then(
        ([one]) => one && (since.set(name, { value, at: Date.parse(one.ts) }), (changed.value += 1)),
        () => undefined, // without a statistician the button says no time
      );
    }
  }
  changed.value;
  return since.get(name)?.at || null;
}

interface Line {
  ts: string;
  what: string;
  from?: string;
}

/** The newest line of the access log for each entity; viewers may not read it. */
const lines: Signal<ReadonlyMap<string, Line>> = signal(new Map());
let asking = 0;

function readLog(): void {
  if (right.peek() === "viewer") return;
  clearTimeout(asking);
  asking = window.setTimeout(() => {
    ask<Line[]>("controller", "log", { limit: 50 }).then(
      (found) => (lines.value = new Map(found.reverse().map((line) => [line.what, line]))),
      () => undefined, // then the button does not say who it was
    );
  }, LOG_MS);
}

effect(() => {
  if (right.value !== "viewer") readLog();
});

/** Who gave a value that an entity has since then, if that is known. */
function who(name: string, from: number): string {
  const line = lines.value.get(name);
  return line?.from && Math.abs(Date.parse(line.ts) - from) < SAME_MS ? line.from : "";
}

function Switch({ at, title }: { at: Place; title: string }) {
  const state = useSignal<State>({ is: "idle" });
  const until = useSignal<number | null>(null);
  const value = at.device.value(at.key);
  const from = useSince(at);
  const old = isOld(at.device);
  const may = right.value !== "viewer";

  const send = async (wanted: Value) => {
    state.value = { is: "sent" };
    try {
      const answer = await command(at.device.id, at.key, wanted);
      until.value = answer.until ? Date.parse(answer.until) : null;
      if (answer.status === "error") state.value = { is: "refused", why: answer.message };
      else {
        state.value = { is: "done" };
        setTimeout(() => state.peek().is === "done" && (state.value = { is: "idle" }), DONE_MS);
      }
    } catch (error) {
      state.value = { is: "refused", why: sentence(error) };
    }
  };

  const on = value === "ON";
  const by = from === null ? "" : who(nameOf(at), from);
  const times = [
    from === null ? "" : t("since", { time: date(from, second.value - from < 43_200_000 ? "time" : "both") }),
    by && t("by", { who: by === "page" ? t("this_page") : by }),
    on && until.value !== null && until.value > second.value ? t("until", { time: date(until.value, "time") }) : "",
  ];
  const said = state.value.is === "sent" ? t("sent") : state.value.is === "done" ? `${t("done")} ✓` : times.filter(Boolean).join(" · ");
  const busy = state.value.is === "sent";
  const control = at.entity.boolean ? (
    <button
      class={`switch ${on ? "is-on" : ""}`}
      role="switch"
      aria-checked={on}
      aria-busy={busy}
      disabled={!may}
      data-switch={nameOf(at)}
      onClick={() => !busy && void send(on ? "OFF" : "ON")}
    >
      <span class="what">{title}</span>
      <span class="state">{words(at.entity, value).text}</span>
      <small>{said || " "}</small>
    </button>
  ) : (
    <Choice at={at} title={title} said={said} onSend={(wanted) => void send(wanted)} disabled={!may || busy} />
  );
  return (
    <div class={`control ${old ? "old" : ""}`}>
      {control}
      <Age device={at.device} />
      {state.value.is === "refused" && (
        <p class="refusal" role="alert">
          {state.value.why} <button onClick={() => (state.value = { is: "idle" })}>{t("dismiss")}</button>
        </p>
      )}
    </div>
  );
}

function Choice(props: { at: Place; title: string; said: string; disabled: boolean; onSend: (value: Value) => void }) {
  const { at, title } = props;
  const { entity } = at;
  const value = at.device.value(at.key);
  const wanted = useSignal<string | null>(null);
  const shown = wanted.value ?? String(value ?? "");
  return (
    <form
      class="choice"
      onSubmit={(event) => {
        event.preventDefault();
        if (wanted.value !== null) props.onSend(entity.options ? wanted.value : Number(wanted.value));
        wanted.value = null;
      }}
    >
      <label class="what" for={`set-${nameOf(at)}`}>{title}</label>
      <div class="row">
        {entity.options ? (
          <select id={`set-${nameOf(at)}`} value={shown} disabled={props.disabled} onChange={(event) => (wanted.value = event.currentTarget.value)}>
            {entity.options.map((one) => <option value={one} key={one}>{option(one)}</option>)}
          </select>
        ) : (
          <input
            id={`set-${nameOf(at)}`} type="number" value={shown} min={entity.range?.[0]} max={entity.range?.[1]} step={entity.step ?? "any"} disabled={props.disabled}
            onInput={(event) => (wanted.value = event.currentTarget.value)}
          />
        )}
        {entity.unit && <span class="unit">{entity.unit}{entity.range && ` (${number(entity.range[0])}–${number(entity.range[1])})`}</span>}
        <button disabled={props.disabled || wanted.value === null}>{t("set")}</button>
      </div>
      <small>{props.said}</small>
    </form>
  );
}

/** All that can be switched; `names` are what the owner calls them. */
export function Switches({ places, names }: { places: readonly Place[]; names: Record<string, string> }) {
  const several = new Set(places.map((one) => one.device)).size > 1;
  return (
    <div class="switches">
      {places.map((at) => {
        const own = at.device.about.value.service === "controller" || !several ? at.entity.name : `${at.device.about.value.name}: ${at.entity.name}`;
        return <Switch key={nameOf(at)} at={at} title={names[nameOf(at)] ?? own} />;
      })}
    </div>
  );
}
