/** Puts things right, for admins: statistics, names, devices, what was set aside. */
import { useEffect } from "preact/hooks";
import { link, right } from "../contract/connection";
import { go, query } from "../kit/route";
import { t, type Word } from "../text/words";
import { DevicesPart } from "./devices";
import { made } from "./fix";
import { Names } from "./names";
import { Statistics } from "./statistics";
import { collectors, readRegistered, readStored } from "./stored";
import { Upkeep } from "./upkeep";

const PARTS = { statistics: Statistics, names: Names, devices: DevicesPart, upkeep: Upkeep };
const TITLES: Record<keyof typeof PARTS, Word> = { statistics: "statistics", names: "names", devices: "devices", upkeep: "upkeep" };
type Part = keyof typeof PARTS;

function isPart(name: string | null): name is Part {
  return name !== null && name in PARTS;
}

export function Mend() {
  const up = link.value === "up";
  const running = collectors.value.join();
  useEffect(() => {
    // Without a statistician the list is what devices describe; each part says itself what does not answer.
    if (up) readStored().catch(() => undefined);
  }, [up, made.value]);
  useEffect(() => {
    if (up) void readRegistered();
  }, [up, running]);
  if (right.value !== "admin") return <p class="empty">{t("no_right")}</p>;
  const said = query.value.get("s");
  const part: Part = isPart(said) ? said : "statistics";
  const Shown = PARTS[part];
  return (
    <>
      <div class="ranges parts-of" role="group" aria-label={t("mend")}>
        {(Object.keys(PARTS) as Part[]).map((one) => (
          <button key={one} aria-pressed={one === part} onClick={() => go("mend", [["s", one]])}>{t(TITLES[one])}</button>
        ))}
      </div>
      <div class="cards mend"><Shown /></div>
    </>
  );
}
