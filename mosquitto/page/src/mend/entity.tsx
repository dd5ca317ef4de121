/** Chooses what is mended: a button that opens the list of everything, with a search. */
import { useSignal } from "@preact/signals";
import { Picker } from "../history/picker";
import { nameOf } from "../now/cards";
import { t } from "../text/words";
import { mendable } from "./stored";

export function titled(name: string): string {
  const found = mendable.value.find((one) => nameOf(one) === name);
  return found ? `${found.device.about.value.name}: ${found.entity.name}` : name;
}

export function EntityButton({ chosen, onChoose }: { chosen: string; onChoose: (name: string) => void }) {
  const open = useSignal(false);
  return (
    <>
      <button class="pick" aria-haspopup="dialog" onClick={() => (open.value = true)}>
        <span>{chosen ? titled(chosen) : t("choose_entity")}</span>{chosen && <small> {chosen}</small>}
      </button>
      {open.value && (
        <Picker
          title={t("choose_entity")}
          list={mendable.value}
          chosen={chosen ? [chosen] : []}
          onToggle={(name) => {
            open.value = false;
            onChoose(name);
          }}
          onClose={() => (open.value = false)}
        />
      )}
    </>
  );
}
