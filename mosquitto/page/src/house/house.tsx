/** The state of the house itself: problems, services, devices, the machine, who switched what. */
import { useSignal } from "@preact/signals";
import { type Device, devices, houseNow, knowsTime, places, second, type Service, services } from "../contract/house";
import { isOld, Panel, Reading } from "../kit/parts";
import { ago, bytes, date, duration, number, option } from "../text/format";
import { t, type Word } from "../text/words";
import { Log } from "./log";
import { dead, deviceOf, started, timed, told, versions, writtenPerDay } from "./telling";

/** The one that reads the machine it runs on (docs/contract.md). */
const HOST = "collector_host";
/** What a clock may differ before it is worth a sentence, ms. */
const CLOCK_MS = 5000;
/** What waits in a healthy service now and then; more is worth a word. */
const MANY = 50;
const FACTS: Record<string, Word> = { clock: "clock", backup: "backup", backup_of_everything: "backup_all", pins: "pins", radio: "radio", disk: "disk" };

function Problems() {
  const stopped = dead(services.value);
  const all = told(services.value, "problems");
  return (
    <Panel id="problems" title={t("problems")}>
      {stopped.length + all.length === 0 && services.value.size > 0 && <p>✓ {t("all_well")}</p>}
      <ul class="told">
        {stopped.map((name) => <li key={name} class="bad"><p>⚠ {t("not_running", { service: name })}</p></li>)}
        {all.map(({ subject, text, services: by }) => (
          <li key={`${subject} ${text}`} class="bad">
            <p>⚠ <strong>{deviceOf(subject, devices.value)?.about.value.name ?? option(subject)}</strong></p>
            <p>{timed(text)}</p>
            <small>{by.join(", ")}</small>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

function ServiceLine({ name, service }: { name: string; service: Service }) {
  const { health } = service;
  const since = started(health);
  const parts = [
    since !== null && service.online ? t("since", { time: date(since, "both") }) : "",
    health.rss ? `${number(health.rss)} MB` : "",
    (health.queue ?? 0) > MANY ? t("in_queue", { count: number(health.queue!) }) : "",
    (health.outbox ?? 0) > MANY ? t("in_outbox", { count: number(health.outbox!) }) : "",
  ];
  return (
    <li class={service.online ? "" : "bad"}>
      <p class="between"><strong>{name}</strong> <span>{service.online ? t("online") : `⚠ ${t("offline")}`}</span></p>
      <small>{parts.filter(Boolean).join(" · ")}</small>
    </li>
  );
}

function Services() {
  const running = versions(services.value);
  return (
    <Panel id="services" title={t("services")} aside={<span class="soft">{running.length === 1 ? `Boondock ${running[0]![0]}` : ""}</span>}>
      {running.length > 1 && <p class="refusal">{t("versions_differ")} {running.map(([version, names]) => `${version}: ${names.join(", ")}`).join("; ")}</p>}
      <ul class="told">
        {[...services.value].sort(([a], [b]) => a.localeCompare(b)).map(([name, service]) => <ServiceLine key={name} name={name} service={service} />)}
      </ul>
      <Counters />
    </Panel>
  );
}

/** Rows of words; what is empty is left out. */
function Rows({ rows }: { rows: readonly (readonly [string, string | undefined])[] }) {
  return <dl>{rows.filter(([, text]) => text).map(([what, text]) => <div key={what}><dt>{what}</dt><dd>{text}</dd></div>)}</dl>;
}

/** Written only while it is open: many numbers that change every second. */
function Counters() {
  const open = useSignal(false);
  return (
    <details onToggle={(event) => (open.value = event.currentTarget.open)}>
      <summary>{t("counters")}</summary>
      {open.value && [...services.value].map(([name, { health }]) => (
        <section key={name} aria-label={name}>
          <h3>{name}</h3>
          <Rows rows={Object.entries({ queue: health.queue, outbox: health.outbox, ...health.counters }).map(([what, count]) => [option(what), number(count ?? 0)])} />
          {health.last_error && <p class="soft">{t("last_error", { time: date(Date.parse(health.last_error.ts), "both") })}: {timed(health.last_error.message)}</p>}
        </section>
      ))}
    </details>
  );
}

function Heard({ device }: { device: Device }) {
  const at = device.heard.value;
  return <span class={isOld(device) ? "old" : ""}>{at > 0 ? ago(second.value - at) : t("never")}</span>;
}

function DeviceLine({ device }: { device: Device }) {
  const { name, manufacturer, model, model_id, sw_version, serial_number, service, backend } = device.about.value;
  const wrong = told(services.value, "problems").find(({ subject }) => deviceOf(subject, devices.value) === device);
  const offline = device.online.value === false;
  return (
    <details>
      <summary>
        <span class="between">
          <strong>{name}</strong> <span>{wrong || offline ? "⚠ " : ""}{offline ? t("offline") : <Heard device={device} />}</span>
        </span>
      </summary>
      {wrong && <p class="refusal">{timed(wrong.text)}</p>}
      <Rows
        rows={[
          [t("model"), [manufacturer, model, model_id && `(${model_id})`].filter(Boolean).join(" ")],
          [t("firmware"), sw_version],
          [t("serial_number"), serial_number],
          [t("read_by"), service && [service, backend && `(${backend})`].filter(Boolean).join(" ")],
          [t("last_heard"), device.heard.value > 0 ? date(device.heard.value, "full") : t("never")],
          ["Id", device.id],
        ]}
      />
    </details>
  );
}

function Devices() {
  const sorted = [...devices.value.values()].sort((a, b) => a.about.value.name.localeCompare(b.about.value.name));
  return (
    <Panel id="devices" title={t("devices")} aside={<span class="soft">{number(sorted.length)}</span>}>
      {sorted.map((device) => <DeviceLine key={device.id} device={device} />)}
    </Panel>
  );
}

/** The machine that the house runs on, with what it writes to its card. */
function Machine({ device }: { device: Device }) {
  const mine = places.value.filter((one) => one.device === device);
  const daily = writtenPerDay(mine);
  return (
    <Panel id={`machine.${device.id}`} title={device.about.value.name}>
      {daily !== null && <p>{t("written", { amount: bytes(daily) })}</p>}
      <dl>{mine.map((at) => <div key={at.key}><dt>{at.entity.name}</dt><dd><Reading at={at} /></dd></div>)}</dl>
    </Panel>
  );
}

function Facts() {
  const now = second.value;
  const ahead = Math.round(Date.now() - houseNow());
  const shift = duration(Math.abs(ahead) / 1000);
  return (
    <Panel id="facts" title={t("facts")}>
      <Rows rows={[[t("house_time"), knowsTime() ? date(now, "full") : undefined]]} />
      {Math.abs(ahead) > CLOCK_MS && <p class="refusal">{t(ahead > 0 ? "browser_ahead" : "browser_behind", { time: shift })}</p>}
      <ul class="told">
        {told(services.value, "facts").map(({ subject, text, services: by }) => (
          <li key={`${subject} ${text}`}>
            <p><strong>{subject in FACTS ? t(FACTS[subject]!) : option(subject)}</strong> {timed(text)}</p>
            <small>{by.join(", ")}</small>
          </li>
        ))}
      </ul>
    </Panel>
  );
}

export function House() {
  const machines = [...devices.value.values()].filter((device) => device.about.value.service === HOST);
  return (
    <div class="cards">
      <Problems />
      <Services />
      <Devices />
      {machines.map((device) => <Machine key={device.id} device={device} />)}
      <Facts />
      <Log />
    </div>
  );
}
