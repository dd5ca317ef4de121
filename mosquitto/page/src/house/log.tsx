/** Who switched and changed what: the access logs of all services, for admins. */
import { computed, useSignal, useSignalEffect } from "@preact/signals";
import { link, right } from "../contract/connection";
import { place, places, services } from "../contract/house";
import { ask } from "../contract/requests";
import { Panel, sentence } from "../kit/parts";
import { date } from "../text/format";
import { t } from "../text/words";
import { type Line, newest, sender } from "./telling";

const MOST = 30;
/** Ms after a change before the logs are read: several may come together. */
const SETTLED_MS = 1000;

/** What the logs are read again for: something was switched, a service came; null while they cannot be read. */
const changes = computed(() => {
  if (right.value !== "admin" || link.value !== "up") return null;
  const switched = places.value.filter((one) => one.entity.command).map(({ device, key }) => device.value(key));
  return JSON.stringify([switched, online()]);
});

function online(): string[] {
  return [...services.value].filter(([, one]) => one.online).map(([name]) => name).sort();
}

async function read(into: (lines: Line[], failed: string[]) => void): Promise<void> {
  const failed: string[] = [];
  const logs = await Promise.all(
    online().map((name) =>
      ask<Line[]>(name, "log", { limit: MOST }).catch((error: unknown) => {
        failed.push(`${name}: ${sentence(error)}`);
        return [];
      }),
    ),
  );
  into(newest(logs, MOST), failed);
}

/** A device's entity by its names, a verb as it is. */
function named(what: string): string {
  const at = place(what);
  return at ? `${at.device.about.value.name}: ${at.entity.name}` : what;
}

export function Log() {
  const lines = useSignal<Line[] | null>(null);
  const failed = useSignal<string[]>([]);
  useSignalEffect(() => {
    if (changes.value === null) return;
    const timer = setTimeout(() => void read((found, not) => ((lines.value = found), (failed.value = not))), SETTLED_MS);
    return () => clearTimeout(timer);
  });
  return (
    <Panel id="log" title={t("who_switched")}>
      {right.value !== "admin" && <p class="soft">{t("only_admin")}</p>}
      {right.value === "admin" && lines.value?.length === 0 && <p class="soft">{t("nothing_yet")}</p>}
      <ul class="told">
        {right.value === "admin" && lines.value?.map((line, number) => (
          <li key={`${line.ts} ${line.what} ${number}`}>
            <p><strong>{named(line.what)}</strong> {line.value ?? ""}</p>
            <small>
              {date(Date.parse(line.ts), "both")} {sender(line) && t("by", { who: sender(line) })}
              {line.left_out ? ` · ${t("left_out", { count: String(line.left_out) })}` : ""}
            </small>
          </li>
        ))}
        {failed.value.map((one) => <li key={one}><p>{one}</p></li>)}
      </ul>
    </Panel>
  );
}
