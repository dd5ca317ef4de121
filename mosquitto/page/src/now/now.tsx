/** The first screen: what a van needs first. */
import { computed, type ReadonlySignal, useSignal } from "@preact/signals";
import { alarms, devices, type Place, places, services, shared } from "../contract/house";
import { link, publish, right } from "../contract/connection";
import { command } from "../contract/requests";
import { topic } from "../contract/topics";
import { Age, isOld, Panel, Reading, sentence, Spark } from "../kit/parts";
import { lastDay } from "../kit/series";
import { go } from "../kit/route";
import { date, duration, number, scaled, words } from "../text/format";
import { t, type Word } from "../text/words";
import { arranged, type Card, flows, having, type Kind, type Layout, layoutFrom, nameOf, roleOf, standard } from "./cards";
import { reaches, watts } from "./energy";
import { Flow } from "./flow";
import { own, saveOwn } from "./layout";
import { Switches } from "./switches";

const TITLES: Record<Exclude<Kind, "device" | "battery">, Word> = {
  sun: "sun", flow: "flow", shore: "shore", charger: "charger", alternator: "alternator", generator: "generator", loads: "loads", tanks: "tanks", switches: "switches",
};

/** The controller's device of alarms: their topics say more than its entities. */
const ALARMS = "alarm";

/** The owner's own layout, else that of all browsers. */
export const layout: ReadonlySignal<Layout> = computed(() => own.value ?? layoutFrom(shared.value));
const cards = computed(() => standard(places.value.filter(({ device }) => device.id !== ALARMS)));

/** Entities of a device that its card shows before "more". */
const MOST_ROWS = 6;

export function titleOf(card: Card): string {
  const named = layout.value.names?.[card.id];
  if (named) return named;
  if (card.kind === "device" || card.kind === "battery") return card.places[0]!.device.about.value.name;
  return t(TITLES[card.kind]);
}

function openHistory(list: readonly Place[]): void {
  go("history", list.slice(0, 4).map((one) => ["e", nameOf(one)]));
}

function Watts({ value, old }: { value: number | null; old: boolean }) {
  const { unit, factor } = scaled("W", value ?? 0);
  return (
    <span class={`reading big ${old ? "old" : ""}`}>
      <span class="number">{value === null ? "–" : number(value * factor, factor === 1 ? 0 : 2)}</span>
      <span class="unit">{value === null ? "" : unit}</span>
    </span>
  );
}

function Battery({ card }: { card: Card }) {
  const of = (fits: (one: Place) => boolean) => card.places.find((one) => roleOf(one) === "battery" && fits(one));
  const soc = of((one) => one.entity.unit === "%")!;
  const flow = of((one) => one.entity.device_class === "power");
  const left = of((one) => one.entity.device_class === "duration");
  const points = lastDay(nameOf(soc)).value;
  const others = card.places.filter((one) => ![soc, flow, left].includes(one));
  const value = soc.device.value(soc.key);
  const power = flow && !isOld(flow.device) ? flow.device.value(flow.key) : null;
  const way = typeof power !== "number" ? null : power > 1 ? "charging" : power < -1 ? "discharging" : "idle";
  return (
    <Panel id={card.id} title={titleOf(card)} class="battery" onOpen={() => openHistory(flow ? [soc, flow] : [soc])} aside={<Age device={soc.device} />}>
      <div class="row">
        <Reading at={soc} class="huge" />
        {typeof value === "number" && <span class="gauge" aria-hidden="true"><i style={{ height: `${Math.min(Math.max(value, 0), 100)}%` }} /></span>}
        <p class="flowing">
          {way && <span class={`arrow ${way}`} aria-hidden="true">{way === "charging" ? "▲" : way === "discharging" ? "▼" : "•"}</span>}
          {flow && <Reading at={flow} class="big" />}
          {way && <small>{t(way)}</small>}
        </p>
      </div>
      <p class="remains">{remains(left, way, points)}&nbsp;</p>
      <Spark points={points} label={soc.entity.name} />
      <Rows places={others} most={0} />
    </Panel>
  );
}

/** Entities with their values, the first `most` of them open. */
function Rows({ places: list, most = MOST_ROWS }: { places: readonly Place[]; most?: number }) {
  const rows = (some: readonly Place[]) => (
    <dl>
      {some.map((at) => <div key={at.key}><dt>{at.entity.name}</dt><dd><Reading at={at} /></dd></div>)}
    </dl>
  );
  return (
    <>
      {rows(list.slice(0, most))}
      {list.length > most && <details><summary>{t("more", { count: number(list.length - most) })}</summary>{rows(list.slice(most))}</details>}
    </>
  );
}

/** Time to empty as the monitor says it, time to full as the last half hour goes. */
function remains(left: Place | undefined, way: string | null, points: readonly (readonly [number, number | null])[]): string {
  const known = points.filter((one): one is readonly [number, number] => one[1] !== null);
  if (way === "charging") {
    const ms = reaches(known, 100);
    return ms === null ? "" : t("full", { time: duration(ms / 1000) });
  }
  const value = left && !isOld(left.device) ? left.device.value(left.key) : null;
  return way === "discharging" && typeof value === "number" && left ? t("left", { time: words(left.entity, value).text }) : "";
}

function Sum({ card, energy }: { card: Card; energy: Place[] }) {
  const powers = card.places.filter((one) => one.entity.device_class === "power");
  const old = powers.every((one) => isOld(one.device));
  const today = energy.map((one) => one.device.value(one.key)).filter((one): one is number => typeof one === "number");
  const sum = today.reduce((all, one) => all + one, 0);
  const { unit, factor } = scaled(energy[0]?.entity.unit, sum);
  const main = powers[0];
  return (
    <Panel id={card.id} title={titleOf(card)} class={card.kind} onOpen={powers.length > 0 ? () => openHistory(powers) : undefined}>
      {powers.length > 0 && <Watts value={watts(powers)} old={old} />}
      {today.length > 0 && <p>{t("today", { energy: `${number(sum * factor, factor === 1 ? 0 : 2)} ${unit}` })}</p>}
      {card.places.filter((one) => one.entity.boolean).map((one) => <p key={nameOf(one)}>{one.device.about.value.name !== titleOf(card) && `${one.device.about.value.name}: `}<Reading at={one} /> <Age device={one.device} /></p>)}
      {powers.length > 1 && <ul class="parts">{powers.map((one) => <li key={nameOf(one)}><span>{partName(one)}</span><Reading at={one} /></li>)}</ul>}
      {main && <Spark points={lastDay(nameOf(main)).value} label={main.entity.name} />}
    </Panel>
  );
}

/** The name of one part of a sum: the device's if that says it, else with the entity's. */
function partName({ device, entity }: Place): string {
  const several = places.value.filter((one) => one.device === device && roleOf(one) === roleOf({ device, entity }) && one.entity.device_class === "power").length > 1;
  return several ? `${device.about.value.name}: ${entity.name}` : device.about.value.name;
}

function Tanks({ card }: { card: Card }) {
  return (
    <Panel id={card.id} title={titleOf(card)} class="tanks" onOpen={() => openHistory(card.places.filter((one) => one.entity.unit === "%"))}>
      <div class="tanks-row">
        {card.places.filter((one) => one.entity.unit === "%").map((at) => {
          const value = at.device.value(at.key);
          const litres = card.places.find((one) => one.device === at.device && one.entity.device_class === "volume_storage");
          const level = typeof value === "number" ? Math.min(Math.max(value, 0), 100) : 0;
          return (
            <figure key={nameOf(at)} class={isOld(at.device) ? "old" : ""}>
              <span class="tank" aria-hidden="true"><i style={{ height: `${level}%` }} /></span>
              <figcaption>
                {layout.value.names?.[nameOf(at)] ?? at.device.about.value.name}
                <Reading at={at} />
                {litres && <Reading at={litres} />}
                <Age device={at.device} />
              </figcaption>
            </figure>
          );
        })}
      </div>
    </Panel>
  );
}

function DeviceCard({ card }: { card: Card }) {
  const device = card.places[0]!.device;
  return (
    <Panel id={card.id} title={titleOf(card)} class="device" onOpen={() => openHistory(card.places.filter((one) => one.entity.state_class))} aside={<Age device={device} />}>
      <Rows places={card.places} />
    </Panel>
  );
}

function View({ card }: { card: Card }) {
  if (card.kind === "battery") return <Battery card={card} />;
  if (card.kind === "tanks") return <Tanks card={card} />;
  if (card.kind === "device") return <DeviceCard card={card} />;
  if (card.kind === "flow") return <Panel id="flow" title={titleOf(card)}><Flow places={flows(places.value)} /></Panel>;
  if (card.kind === "switches") {
    return <Panel id="switches" title={titleOf(card)}><Switches places={card.places} names={layout.value.names ?? {}} /></Panel>;
  }
  return <Sum card={card} energy={card.kind === "sun" ? having(places.value, "solar", "energy").filter((one) => one.entity.daily) : []} />;
}

/** What is wrong now, on top of everything: alarms, then problems that a device itself reports. */
function Alarms() {
  const refused = useSignal({ id: "", why: "" });
  const acknowledge = async (id: string) => {
    try {
      const answer = await command(ALARMS, id, "acknowledge");
      refused.value = answer.status === "error" ? { id, why: answer.message } : { id: "", why: "" };
    } catch (error) {
      refused.value = { id, why: sentence(error) };
    }
  };
  const told = [...alarms.value].filter(([, one]) => one.state !== "ok").map(([id, one]) => ({ id, text: one.text ?? id, since: one.since, strong: one.state === "active", acknowledge: one.state === "active" }));
  const reported = places.value
    .filter(({ device, key, entity }) => device.id !== ALARMS && entity.device_class === "problem" && device.value(key) === "ON" && !isOld(device))
    .map(({ device, key, entity }) => ({ id: `${device.id}.${key}`, text: `${device.about.value.name}: ${entity.name}`, since: undefined, strong: true, acknowledge: false }));
  const dead = link.value === "up"
    ? [...services.value].filter(([, one]) => one.online === false).map(([id]) => ({ id, text: t("not_running", { service: id }), since: undefined, strong: true, acknowledge: false }))
    : [];
  const all = [...told, ...reported, ...dead];
  if (all.length === 0) return null;
  return (
    <ul class="alarms" role="alert" aria-label={t("alarms")}>
      {all.map((one) => (
        <li key={one.id} class={one.strong ? "active" : ""}>
          <span>⚠ {one.text}{one.since && <small> {t("since", { time: date(Date.parse(one.since), "both") })}</small>}</span>
          {one.acknowledge && right.value !== "viewer" && <button onClick={() => void acknowledge(one.id)}>{t("dismiss")}</button>}
          {one.id === refused.value.id && <small role="alert">{refused.value.why}</small>}
        </li>
      ))}
    </ul>
  );
}

/** The dialog in which cards are hidden, renamed and reordered. */
function Arrange({ onClose }: { onClose: () => void }) {
  const { shown, hidden } = arranged(cards.value, layout.value);
  const said = useSignal("");
  const change = (next: Layout) => saveOwn({ ...layout.value, ...next });
  const move = (at: number, by: number) => {
    const order = shown.map((card) => card.id);
    order.splice(at + by, 0, ...order.splice(at, 1));
    change({ order: [...order, ...hidden.map((card) => card.id)] });
  };
  const share = async () => {
    try {
      const reason = await publish(topic.page(), JSON.stringify(layout.value), { retain: true });
      said.value = reason < 0x80 ? t("done") : t("no_right");
    } catch (error) {
      said.value = sentence(error);
    }
  };
  return (
    <section class="card arrange" aria-label={t("arrange")}>
      <header><h2>{t("arrange")}</h2><button onClick={onClose}>{t("close")}</button></header>
      <ol>
        {shown.map((card, at) => (
          <li key={card.id}>
            <input aria-label={`${t("name")}: ${titleOf(card)}`} value={titleOf(card)} onChange={(event) => change({ names: { ...layout.value.names, [card.id]: event.currentTarget.value.trim() } })} />
            <button disabled={at === 0} aria-label={`${t("up")}: ${titleOf(card)}`} onClick={() => move(at, -1)}>↑</button>
            <button disabled={at === shown.length - 1} aria-label={`${t("down")}: ${titleOf(card)}`} onClick={() => move(at, 1)}>↓</button>
            <button onClick={() => change({ hidden: [...(layout.value.hidden ?? []), card.id] })}>{t("hide")}</button>
          </li>
        ))}
      </ol>
      {hidden.length > 0 && <h3>{t("hidden")}</h3>}
      <ul>
        {hidden.map((card) => (
          <li key={card.id}>{titleOf(card)} <button onClick={() => change({ hidden: layout.value.hidden?.filter((id) => id !== card.id) })}>{t("show")}</button></li>
        ))}
      </ul>
      <p>
        <button onClick={() => saveOwn(null)}>{t("standard")}</button>{" "}
        {right.value === "admin" && <button onClick={() => void share()}>{t("for_all")}</button>} <span role="status">{said.value}</span>
      </p>
    </section>
  );
}

export function Now({ wall = false }: { wall?: boolean }) {
  const arranging = useSignal(false);
  const { shown } = arranged(cards.value, layout.value);
  return (
    <>
      <Alarms />
      {arranging.value && <Arrange onClose={() => (arranging.value = false)} />}
      <div class="cards">
        {shown.filter((card) => !(wall && card.kind === "switches")).map((card) => <View key={card.id} card={card} />)}
      </div>
      {devices.value.size === 0 && <p class="empty">{t("nothing")}</p>}
      {!wall && devices.value.size > 0 && !arranging.value && <p class="foot"><button onClick={() => (arranging.value = true)}>{t("arrange")}</button></p>}
    </>
  );
}

