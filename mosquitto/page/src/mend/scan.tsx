/** Looks for devices by radio and on buses, and offers to add what was found. */
import { useSignal } from "@preact/signals";
import { ask } from "../contract/requests";
import { Choose } from "../kit/fields";
import { Panel, sentence } from "../kit/parts";
import { t } from "../text/words";
import { DeviceForm } from "./device-form";
import { SchemaForm } from "./form";
import { kinds, readKinds } from "./kinds";
import { type Draft, type Kind, type Schema, type Settings, settingsOf } from "./schema";
import { registered } from "./stored";

interface Proposal {
  kind: string;
  settings: Settings;
}

/** What a scan finds; beside these it says what its wire knows of it. */
interface Found {
  name?: string | null;
  model?: string | null;
  what?: string | null;
  note?: string | null;
  rssi?: number | null;
  proposals: Proposal[];
  configured: string | string[] | null;
}

interface Progress {
  done: number;
  of: number;
  found: Found[];
}

type State = { is: "idle" } | { is: "running"; progress: Progress | null } | { is: "done"; count: number; tried: string } | { is: "failed"; why: string };

/** The parameters of each collector's scan; those that have none are left out. */
function scans(): [string, Schema][] {
  return [...kinds.value].flatMap(([service, list]): [string, Schema][] => {
    const schema = list.find((one) => one.scan !== null)?.scan;
    return schema ? [[service, schema]] : [];
  });
}

export function Scan() {
  const open = useSignal(false);
  const service = useSignal("");
  const draft = useSignal<Draft>({});
  const state = useSignal<State>({ is: "idle" });
  const found = useSignal<readonly Found[]>([]);
  const start = () => {
    open.value = true;
    state.value = { is: "idle" };
    void readKinds().then((said) => {
      const why = said || (scans().length === 0 ? t("no_scan") : "");
      if (why && state.value.is === "idle") state.value = { is: "failed", why };
    });
  };
  const all = scans();
  const [name, schema] = all.find(([one]) => one === service.value) ?? all[0] ?? ["", undefined];
  const run = async (asked: Schema) => {
    found.value = [];
    state.value = { is: "running", progress: null };
    try {
      const said = await ask<{ found: Found[]; tried?: string }>(name, "device_scan", settingsOf(asked, draft.value), (one) => {
        const progress = one as Progress;
        found.value = [...found.value, ...progress.found];
        state.value = { is: "running", progress };
      });
      found.value = said.found;
      state.value = { is: "done", count: said.found.length, tried: said.tried ?? "" };
    } catch (error) {
      state.value = { is: "failed", why: sentence(error) };
    }
  };
  return (
    <Panel id="scan" title={t("scan")}>
      {!open.value && <><p class="soft">{t("scan_hint")}</p><p class="options"><button onClick={start}>{t("scan")}</button></p></>}
      {open.value && schema && (
        <form class="fields" onSubmit={(event) => (event.preventDefault(), void run(schema))}>
          <Choose label={t("where_to_look")} value={name} options={all.map(([one]): [string, string] => [one, one.replace("collector_", "")])} onText={(one) => ((service.value = one), (draft.value = {}), (found.value = []))} />
          <SchemaForm key={name} flat schema={schema} draft={draft.value} errors={{}} onDraft={(next) => (draft.value = next)} />
          <button class="main" disabled={state.value.is === "running"}>{t("start_scan")}</button>
        </form>
      )}
      {open.value && !schema && state.value.is === "idle" && <p role="status">{t("loading")}</p>}
      {open.value && <Progressing state={state.value} />}
      {open.value && !schema && state.value.is === "failed" && <p class="options"><button onClick={() => (open.value = false)}>{t("close")}</button></p>}
      {open.value && <ul class="told">{found.value.map((one, at) => <Line key={at} one={one} service={name} />)}</ul>}
    </Panel>
  );
}

function Progressing({ state }: { state: State }) {
  if (state.is === "running") {
    const { progress } = state;
    return <p role="status"><progress aria-label={t("scan")} value={progress?.done ?? 0} max={progress?.of ?? 1} /> {t("scanning")}</p>;
  }
  if (state.is === "failed") return <p class="refusal" role="alert">{state.why}</p>;
  if (state.is !== "done") return <p role="status" />;
  if (state.count > 0) return <p role="status">{t("found_count", { count: String(state.count) })}</p>;
  return <p role="status">{t("found_none")} <small>{state.tried}</small></p>;
}

/** What tells one thing from another on its wire. */
function place({ proposals, ...rest }: Found): string {
  const { settings = {} } = proposals[0] ?? {};
  const known = Object.keys(settings).length > 0 ? settings : rest;
  return Object.entries(known).filter(([, value]) => typeof value !== "object" && value !== null).map(([key, value]) => `${key} ${String(value)}`).join(", ");
}

/** Which devices of the house it is: as the scan said, and those that were added since. */
function yours({ configured, proposals }: Found, service: string): string[] {
  const said = [configured ?? []].flat();
  const same = (settings: Settings, own: Settings) => Object.entries(settings).every(([key, value]) => own[key] === value);
  return registered.value
    .filter((one) => one.service === service && (said.includes(one.device) || proposals.some(({ kind, settings }) => kind === one.kind && same(settings, one.settings))))
    .map((one) => one.device);
}

function Line({ one, service }: { one: Found; service: string }) {
  const adding = useSignal<{ kind: Kind; settings: Settings } | null>(null);
  const configured = yours(one, service);
  const title = one.name || one.model || one.what || one.proposals[0]?.kind || t("unknown_thing");
  const known = new Map((kinds.value.get(service) ?? []).map((kind) => [kind.kind, kind]));
  const offered = one.proposals.flatMap(({ kind, settings }) => (known.has(kind) ? [{ kind: known.get(kind)!, settings }] : []));
  return (
    <li>
      <p class="between"><strong>{title}</strong> <span>{one.rssi != null && `${one.rssi} dBm`}</span></p>
      <small>{[one.model === title ? "" : one.model, place(one), one.note].filter(Boolean).join(" · ")}</small>
      {configured.length > 0 && <p>✓ {t("is_yours", { device: configured.join(", ") })}</p>}
      {adding.value === null && offered.length > 0 && (configured.length === 0 || Array.isArray(one.configured)) && (
        <p class="options">
          {offered.map((offer) => (
            <button key={offer.kind.kind} aria-label={`${t("add_device")}: ${title}, ${offer.kind.title}`} onClick={() => (adding.value = offer)}>
              {configured.length > 0 ? t("add_again") : t("add_device")}: {offer.kind.title}
            </button>
          ))}
        </p>
      )}
      {adding.value && <DeviceForm service={service} kind={adding.value.kind} proposed={{ settings: adding.value.settings, name: one.name ?? "" }} onClose={() => (adding.value = null)} />}
    </li>
  );
}
