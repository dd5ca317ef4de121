/** The dialog in which entities are added, by device, with a search. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { type Place, places } from "../contract/house";
import { nameOf } from "../now/cards";
import { t } from "../text/words";
import { MOST_SERIES } from "./ranges";

/** More matches than this are not listed; the search narrows them. */
const MOST_LISTED = 150;

/** Entities whose device, name or id has every word of the search; what is about the device itself comes last. */
export function matching(all: readonly Place[], search: string): Place[] {
  const sought = search.toLowerCase().split(/\s+/).filter(Boolean);
  const text = (one: Place) => `${one.device.about.value.name} ${one.entity.name} ${nameOf(one)}`.toLowerCase();
  const found = all.filter((one) => sought.every((word) => text(one).includes(word)));
  return found.sort((a, b) => Number(a.entity.diagnostic ?? false) - Number(b.entity.diagnostic ?? false));
}

interface PickerProps {
  chosen: readonly string[];
  onToggle: (name: string) => void;
  onClose: () => void;
  /** What it offers; without it every entity that a device describes. */
  list?: readonly Place[];
  title?: string;
}

export function Picker({ chosen, onToggle, onClose, list = places.value, title = t("add") }: PickerProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const search = useSignal("");
  useEffect(() => dialog.current!.showModal(), []);
  const found = matching(list, search.value);
  const full = chosen.length >= MOST_SERIES;
  return (
    <dialog ref={dialog} class="picker" aria-labelledby="picker-title" onClose={onClose} onClick={(event) => event.target === dialog.current && dialog.current!.close()}>
      <div>
        <header><h2 id="picker-title">{title}</h2><button onClick={() => dialog.current!.close()}>{t("close")}</button></header>
        <input type="search" aria-label={t("search")} placeholder={t("search")} value={search.value} onInput={(event) => (search.value = event.currentTarget.value)} />
        <p role="status" class="soft">{full ? t("most", { count: String(MOST_SERIES) }) : found.length === 0 ? t("none_found") : ""}</p>
        {[...new Set(list.map((one) => one.device))].map((device) => {
          const own = found.slice(0, MOST_LISTED).filter((one) => one.device === device);
          return own.length > 0 && (
            <section key={device.id}>
              <h3>{device.about.value.name}</h3>
              <Choices list={own} chosen={chosen} onToggle={onToggle} />
            </section>
          );
        })}
      </div>
    </dialog>
  );
}

/** Entities as buttons that are pressed while they are in the chart. */
export function Choices({ list, chosen, onToggle }: { list: readonly Place[]; chosen: readonly string[]; onToggle: (name: string) => void }) {
  return (
    <ul class="choices">
      {list.map((one) => {
        const pressed = chosen.includes(nameOf(one));
        return (
          <li key={one.key}>
            <button aria-pressed={pressed} disabled={!pressed && chosen.length >= MOST_SERIES} onClick={() => onToggle(nameOf(one))}>
              <span aria-hidden="true">{pressed ? "✓" : "+"}</span> {one.entity.name}{one.entity.unit && <small> {one.entity.unit}</small>}
            </button>
          </li>
        );
      })}
    </ul>
  );
}
